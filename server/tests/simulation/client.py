# SPDX-License-Identifier: Apache-2.0
"""A client of the protocol, written from its text alone: small, strict, and no SDK.

It keeps what chapter 9 and the clauses of chapter 10 demand of clients, and says when a server
makes that impossible. It lives outside of all nodes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from longcall_server.stores.base import Owner
from simulation.network import CUT, Link
from simulation.story import Violate
from simulation.wire import Message

PATIENCE_S = 18.0
"""Seconds without a frame after which a connection is given up (PROTOCOL 6.7.6)."""


class Ground(Protocol):
    """The world, as a client sees it."""

    dice: random.Random

    def dial(self, client: Client) -> Link | None:
        """Opens a connection to some node; None if none can be reached."""

    def later(self, delay: float, what: Callable[..., object], *args: Any) -> None:
        """Does it then."""

    def time(self) -> float:
        """Seconds since the beginning."""

    def count(self, what: str) -> None:
        """Counts."""

    def trace(self, *what: Any) -> None:
        """Writes it down."""


@dataclass(eq=False)
class Handle:
    """One request, as a client follows it."""

    id: str
    message: Message | None
    """What is sent; None for a request that somebody else has made."""
    sendings: int = 0
    settled: bool = False
    """The sending of the request was answered for good."""
    acknowledged: bool = False
    created_at: str | None = None
    last: int = 0
    progress: tuple[int, int] = (0, 0)
    pieces: list[tuple[int, Any]] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    outcome: str | None = None
    error: Message | None = None
    unknown: bool = False
    """The outcome is an error, and the request may be stored all the same."""
    wants_cancel: bool = False
    cancel_answered: bool = False
    cancel_again: bool = False
    reason: str | None = None
    detached: bool = False
    wrong_position: bool = False
    """It attaches beyond the end, on purpose."""
    asked_for_gap: int = 0
    links: dict[Link, int] = field(default_factory=dict)
    """The open connections that it was attached on -> attaches that are not answered yet."""
    deaf: set[Link] = field(default_factory=set)
    """Where numbered frames are ignored until a snapshot or an acknowledgment (PROTOCOL 10.26);
    a refused attach does not end it: what was ignored is missing."""

    @property
    def is_open(self) -> bool:
        return self.outcome is None and not self.detached


class Client:
    """One program with at most one connection, or two while it moves."""

    def __init__(self, name: str, owner: Owner, ground: Ground, violate: Violate) -> None:
        self.name = name
        self.owner = owner
        self.handles: dict[str, Handle] = {}
        self.link: Link | None = None
        self.old: Link | None = None
        self.gone = False
        self.listings: dict[str, list[str]] = {}
        self.listed: dict[str, bool] = {}
        self._ground = ground
        self._say = violate
        self._lists_on: Link | None = None
        self._welcomed = False
        self._dialing = False
        self._heard_at = 0.0
        self._unanswered: dict[Link, dict[str, Handle]] = {}

    # --- What the application asks for --------------------------------------------------------

    def submit(self, message: Message) -> Handle:
        """A new request."""
        handle = self.handles[message["id"]] = Handle(message["id"], message)
        if self.link is not None and self._welcomed:
            self._send_request(handle, self.link)
        return handle

    def follow(self, id: str, after_seq: int = 0) -> Handle:
        """Follows what somebody else has asked for."""
        handle = self.handles[id] = Handle(id, None, last=after_seq)
        handle.wrong_position = after_seq > 0
        if self.link is not None and self._welcomed:
            self._send_attach(handle, self.link)
        return handle

    def cancel(self, handle: Handle, reason: str | None) -> None:
        """Cancels a request."""
        handle.wants_cancel, handle.reason = True, reason
        is_asked_for = handle.message is None or handle.sendings > 0
        if self.link is not None and self._welcomed and is_asked_for:
            self._send_cancel(handle, self._place_of(handle))

    def detach(self, handle: Handle) -> None:
        """Wants to hear no more of a request."""
        handle.detached = True
        handle.links.clear()
        if self.link is not None and self._welcomed:
            self.link.send({"type": "detach", "request_id": handle.id})

    def read_once(self, handle: Handle) -> None:
        """Reads what is there, without following."""
        if self.link is not None and self._welcomed and handle.is_open and handle.acknowledged:
            self._ground.count("client reads without following")
            handle.links[self.link] = handle.links.get(self.link, 0) + 1
            handle.deaf.add(self.link)
            self.link.send(
                {
                    "type": "attach",
                    "request_id": handle.id,
                    "after_seq": handle.last,
                    "follow": False,
                }
            )
            # A read replaces the cursor: whoever wants to go on attaches anew.
            self._send_attach(handle, self.link)

    def list_all(self, name: str) -> bool:
        """Asks for all requests, page by page; whether it could be asked."""
        if self.link is None or not self._welcomed or self.old is not None:
            return False
        self._list(name, self.link)
        return True

    def _list(self, name: str, link: Link) -> None:
        self.listings[name], self.listed[name] = [], False
        self._lists_on = link
        link.send({"type": "list", "id": name, "limit": 3})

    def crash(self) -> None:
        """Forgets everything."""
        self.gone = True
        for link in (self.link, self.old):
            if link is not None:
                link.hang_up()
        self.link = self.old = None

    # --- Connections --------------------------------------------------------------------------

    def connect(self) -> None:
        """Opens a connection as soon as it can."""
        self._dialing = False
        if self.gone or (self.link is not None and self.link is not self.old):
            return
        link = self._ground.dial(self)
        if link is None:
            self._dial(self._ground.dice.uniform(0.1, 1.5))
            return
        self.link = link
        self._welcomed = False
        self._heard_at = self._ground.time()
        self._unanswered[link] = {}
        link.send({"type": "hello", "token": f"{self.owner.tenant_id}/{self.owner.sub}"})
        self._ground.later(PATIENCE_S, self._watch, link)

    def lost(self, link: Link, code: int) -> None:
        """A connection is closed."""
        self._ground.trace(self.name, "lost", link.name, code)
        self._unanswered.pop(link, None)
        for handle in self.handles.values():
            handle.links.pop(link, None)
        if self.gone:
            return
        if link is self.old:
            self.old = None
            if link is not self.link and self.link is not None:
                if self._welcomed:
                    self._resume(self.link)
                return
        if link is self.link:
            self.link, self._welcomed = None, False
            if self.old is not None:
                self.link, self.old, self._welcomed = self.old, None, True
            else:
                self._dial(self._ground.dice.uniform(0.0, 1.5))

    def take(self, link: Link, frame: Message) -> None:
        """A frame has arrived."""
        if link not in (self.link, self.old):
            return
        if link is self.link:
            self._heard_at = self._ground.time()
        match frame["type"]:
            case "ping":
                link.send({"type": "pong"})
            case "welcome":
                self._welcomed = True
                self._resume(link)
            case "goaway":
                self._ground.count("client is asked to move")
                if self.old is None and link is self.link:
                    self.old = link
                    self._dial(frame["reconnect_after_ms"] / 1000)
            case "listing":
                self._listing(link, frame)
            case _:
                handle = self.handles.get(frame.get("request_id", ""))
                if handle is not None:
                    self._of_request(link, handle, frame)
        self._leave_old()

    def _dial(self, delay: float) -> None:
        if not self._dialing:
            self._dialing = True
            self._ground.later(delay, self.connect)

    def _watch(self, link: Link) -> None:
        if self.link is not link or self.gone:
            return
        silent = self._ground.time() - self._heard_at
        if silent < PATIENCE_S:
            # Never by less than the clock can tell: time would stand still.
            self._ground.later(max(0.001, PATIENCE_S - silent), self._watch, link)
            return
        self._ground.count("client gives up a silent connection")
        link.hang_up()
        self.lost(link, CUT)

    def _resume(self, link: Link) -> None:
        """Sends again what is unanswered and attaches the rest (PROTOCOL 9.5, 10.37, 10.38)."""
        for name, done in self.listed.items():
            if not done and self._lists_on is not link:
                self._list(name, link)
        moving = self.old is not None and self.old in self._unanswered
        for handle in tuple(self.handles.values()):
            if not handle.is_open:
                continue
            if handle.message is not None and not handle.settled:
                waits = any(handle.id in sent for sent in self._unanswered.values())
                if waits and (moving or handle.id in self._unanswered[link]):
                    continue
                self._send_request(handle, link)
            elif link not in handle.links:
                self._send_attach(handle, link)
            if handle.wants_cancel and not handle.cancel_answered:
                self._send_cancel(handle, link)

    def _leave_old(self) -> None:
        """The old connection is closed once nothing is unanswered on it (PROTOCOL 10.38.1)."""
        old, link = self.old, self.link
        if old is None or link is None or link is old or not self._welcomed:
            return
        if self._unanswered.get(old):
            return
        if any(handle.links.get(link) for handle in self.handles.values() if handle.is_open):
            return
        old.hang_up(1000)
        self.lost(old, 1000)

    # --- Sending ------------------------------------------------------------------------------

    def _place_of(self, handle: Handle) -> Link:
        """Where the cancel of a request goes: to its unanswered request (PROTOCOL 6.8.10)."""
        for link, sent in self._unanswered.items():
            if handle.id in sent:
                return link
        assert self.link is not None
        return self.link

    def _send_request(self, handle: Handle, link: Link) -> None:
        assert handle.message is not None
        message = dict(handle.message)
        if handle.sendings:
            # PROTOCOL 10.6.1
            message["resend"] = True
            self._ground.count("client re-sends a request")
        handle.sendings += 1
        self._unanswered[link][handle.id] = handle
        link.send(message)

    def _send_attach(self, handle: Handle, link: Link) -> None:
        handle.links[link] = handle.links.get(link, 0) + 1
        handle.deaf.add(link)
        link.send({"type": "attach", "request_id": handle.id, "after_seq": handle.last})

    def _send_cancel(self, handle: Handle, link: Link) -> None:
        message: Message = {"type": "cancel", "request_id": handle.id}
        if handle.reason is not None:
            message["reason"] = handle.reason
        self._ground.count("client cancels")
        link.send(message)

    # --- Frames of one request ----------------------------------------------------------------

    def _of_request(self, link: Link, handle: Handle, frame: Message) -> None:
        kind = frame["type"]
        if kind == "error" and "seq" not in frame:
            self._refused(link, handle, frame)
        elif handle.outcome is not None or handle.detached:
            # PROTOCOL 10.39; an answer to a cancel is still an answer.
            self._unanswered.get(link, {}).pop(handle.id, None)
        elif kind == "response":
            self._unanswered[link].pop(handle.id, None)
            handle.settled = True
            self._end(handle, "response")
            if handle.pieces or frame["result"] != {"n": 0}:
                self._say("10.10.2", f"{self.name}: {frame} with {len(handle.pieces)} pieces")
        elif kind == "snapshot":
            self._snapshot(link, handle, frame)
        elif kind == "progress":
            mark = (frame["attempt"], frame["version"])
            handle.progress = max(handle.progress, mark)
        else:
            self._numbered(link, handle, frame)

    def _snapshot(self, link: Link, handle: Handle, frame: Message) -> None:
        self._incarnation(handle, frame["request"]["created_at"])
        if frame["reply_to"] == "cancel":
            handle.cancel_answered = True
            return
        handle.links[link] = max(0, handle.links.get(link, 0) - 1)
        handle.deaf.discard(link)
        if handle.wrong_position:
            self._say("10.29.1", f"{self.name}: {frame} to a position beyond the end")

    def _numbered(self, link: Link, handle: Handle, frame: Message) -> None:
        seq = frame["seq"]
        if frame["type"] == "acknowledgment":
            self._acknowledged(link, handle, frame)
        elif link in handle.deaf:
            return
        if seq <= handle.last:
            return
        if seq > handle.last + 1:
            # PROTOCOL 10.30 repairs this; a sound server never makes it necessary.
            self._say("6.1.1", f"{self.name}: {frame} after {handle.last}")
            self._send_attach(handle, link)
            return
        handle.last = seq
        handle.events.append(seq)
        match frame["type"]:
            case "status" if frame["status"] == "processing":
                # PROTOCOL 10.19.2
                kept = frame["chunks_kept_to"]
                if any(at > kept for at, _ in handle.pieces):
                    self._ground.count("chunks voided")
                handle.pieces = [piece for piece in handle.pieces if piece[0] <= kept]
            case "chunk":
                data = frame["data"]
                handle.pieces.append((seq, data["n"] if isinstance(data, dict) else data))
            case "complete":
                self._end(handle, "complete")
                pieces = [data for _, data in handle.pieces]
                if pieces != list(range(frame["result"]["n"])):
                    self._say("10.19", f"{self.name}: {frame} with the pieces {pieces}")
            case "error":
                self._end(handle, "error")
                handle.error = frame["error"]

    def _acknowledged(self, link: Link, handle: Handle, frame: Message) -> None:
        self._incarnation(handle, frame["created_at"])
        self._unanswered.get(link, {}).pop(handle.id, None)
        handle.links[link] = 0
        handle.deaf.discard(link)
        handle.settled = handle.acknowledged = True
        if handle.cancel_again:
            # PROTOCOL 10.13.3
            handle.cancel_again = False
            self._send_cancel(handle, link)

    def _incarnation(self, handle: Handle, created_at: str) -> None:
        if handle.created_at not in (None, created_at):
            self._say("10.32", f"{self.name}: {handle.id} is of {created_at} now")
        handle.created_at = created_at

    def _refused(self, link: Link, handle: Handle, frame: Message) -> None:
        code, retry = frame["error"]["code"], frame["error"].get("retry_after_ms", 1_000)
        match frame["reply_to"]:
            case "request":
                self._request_refused(link, handle, frame, retry / 1000)
            case "cancel":
                if code == "NOT_FOUND":
                    if handle.sendings > 1 and not handle.settled:
                        handle.cancel_again = True  # PROTOCOL 10.13.2
                    else:
                        handle.cancel_answered = True
                elif handle.is_open:
                    self._ground.later(retry / 1000, self._again, handle, "cancel")
            case "attach":
                handle.links[link] = max(0, handle.links.get(link, 0) - 1)
                if not handle.is_open:
                    return
                if code in ("NOT_FOUND", "CONFLICT"):
                    if code == "CONFLICT" and not handle.wrong_position:
                        self._say("10.29.1", f"{self.name}: {frame} after {handle.last}")
                    self._end(handle, "gone")
                    handle.error = frame["error"]
                else:
                    handle.links.pop(link, None)
                    self._ground.later(retry / 1000, self._again, handle, "attach")

    def _request_refused(self, link: Link, handle: Handle, frame: Message, retry: float) -> None:
        self._unanswered.get(link, {}).pop(handle.id, None)
        if handle.outcome is not None or handle.settled:
            return
        if frame.get("executed"):
            handle.settled = True
            self._end(handle, "executed")
            handle.error = frame["error"]
            return
        if frame["error"]["retryable"] and (handle.sendings > 1 or handle.wants_cancel):
            # PROTOCOL 10.4.2
            self._ground.later(retry, self._again, handle, "request")
            return
        handle.settled = True
        handle.unknown = handle.sendings > 1
        self._end(handle, "refused")
        handle.error = frame["error"]
        self._ground.count(f"request refused: {frame['error']['code']}")

    def _again(self, handle: Handle, what: str) -> None:
        link = self.link
        if self.gone or link is None or not self._welcomed or not handle.is_open:
            return  # `_resume` does it on the next connection
        if what == "cancel":
            if not handle.cancel_answered:
                self._send_cancel(handle, self._place_of(handle))
        elif what == "attach":
            if link not in handle.links:
                self._send_attach(handle, link)
        elif not handle.settled and not any(
            handle.id in sent for sent in self._unanswered.values()
        ):
            self._send_request(handle, link)

    def _end(self, handle: Handle, outcome: str) -> None:
        handle.outcome = outcome
        self._ground.trace(self.name, "ends", handle.id, outcome)

    def _listing(self, link: Link, frame: Message) -> None:
        if link is not self._lists_on:
            return  # begun anew on the next connection
        name = frame["id"]
        self.listings[name] += [request["id"] for request in frame["requests"]]
        cursor = frame.get("next_cursor")
        if cursor is None:
            self.listed[name] = True
        else:
            link.send({"type": "list", "id": name, "limit": 3, "cursor": cursor})
