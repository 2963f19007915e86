# SPDX-License-Identifier: Apache-2.0
"""What the parts of the protocol share: the links, the timers, and what is to be done."""

from __future__ import annotations

from ..options import Options
from .effects import Close, Effect, Send, Warned
from .link import Link, LinkPhase
from .timers import Timers


class Context:
    """The ground that connection, requests and sender stand on.

    Attributes:
        current: The newest link; None while there is none.
        draining: Older ones, since a `goaway`, until they are closed.
        ignored: How many messages of the server were ignored. PROTOCOL 2.5.3.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.timers = Timers()
        self.effects: list[Effect] = []
        self.current: Link | None = None
        self.draining: list[Link] = []
        self.ignored = 0

    @property
    def ready(self) -> Link | None:
        """The link on which new messages are sent; None while there is none."""
        link = self.current
        return link if link is not None and link.phase is LinkPhase.READY else None

    @property
    def links(self) -> list[Link]:
        """All links, the newest last."""
        return [*self.draining, self.current] if self.current is not None else [*self.draining]

    def link(self, link_id: int) -> Link | None:
        """Returns the link with this number, unless it is gone."""
        return next((link for link in self.links if link.id == link_id), None)

    def send(self, link: Link, text: str) -> None:
        self.effects.append(Send(link.id, text))

    def close(self, link: Link, code: int, reason: str, *, abort: bool = False) -> None:
        """Closes a link from here; it stays among the links until the front end says it is done."""
        if link.phase is not LinkPhase.CLOSING:
            link.phase = LinkPhase.CLOSING
            link.is_ours = True
            link.closed_with = (code, reason)
            self.timers.cancel(("welcome", link.id))
            self.timers.cancel(("heartbeat", link.id))
            self.effects.append(Close(link.id, code, reason, abort))

    def ignore(self, what: str) -> None:
        """Counts a message of the server that is ignored."""
        self.ignored += 1
        self.effects.append(Warned(f"ignored: {what}"))

    def warn(self, text: str) -> None:
        self.effects.append(Warned(text))

    def retry_wait(self, refusals: int, retry_after: float | None) -> float:
        """Returns how long to wait after a retryable refusal. PROTOCOL 4.3.13, 9.4."""
        if retry_after is not None:
            return retry_after
        options = self.options
        bound = options.backoff_initial * 2.0 ** min(refusals, 20)
        return options.random() * min(options.backoff_maximum, bound)
