# SPDX-License-Identifier: Apache-2.0
"""Servers with one defect each, to see that the hostile find it: `serve hostile_mutants:with_NAME`.

Each is the application under attack; that it is loaded puts the defect into the server around it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hostile_handlers import handlers
from planting import Defects, planted

from longcall_server import Handlers
from longcall_server.core.codes import CloseCode
from longcall_server.core.session import Close, Output, Phase, Send, Session
from longcall_server.gateway.decider import Decider
from longcall_server.stores.base import Owner

_receive = Session.receive


def closes() -> None:
    """A bad message ends its connection."""

    def impatient(self: Session, text: str, now: int) -> list[Output]:
        outputs = _receive(self, text, now)
        is_open = self.phase is Phase.OPEN
        if is_open and any(isinstance(one, Send) and "VALIDATION" in one.text for one in outputs):
            return [Close(CloseCode.PROTOCOL_ERROR, "bad input")]
        return outputs

    Session.receive = impatient  # type: ignore[method-assign]


def breaks() -> None:
    """A message that nobody thought of is an unexpected failure."""
    attach = Decider._attach

    async def fragile(self: Decider, principal: Any, message: Any) -> None:
        if message.after_seq > 5:
            raise KeyError(message.after_seq)
        await attach(self, principal, message)

    Decider._attach = fragile  # type: ignore[method-assign]


def leaks() -> None:
    """Each message is remembered, and something for it."""
    remembered: list[bytearray] = []

    def hoarding(self: Session, text: str, now: int) -> list[Output]:
        remembered.append(bytearray(65_536))
        return _receive(self, text, now)

    Session.receive = hoarding  # type: ignore[method-assign]


def mixes() -> None:
    """A cancel is carried out for whoever owns the request."""
    cancel = Decider._cancel

    async def obliging(self: Decider, principal: Any, message: Any) -> None:
        if message.request_id.startswith("c"):
            principal = replace(principal, owner=Owner("acme", "alice"))
        await cancel(self, principal, message)

    Decider._cancel = obliging  # type: ignore[method-assign]


def swallows() -> None:
    """What is no JSON object is not answered."""

    def silent(self: Session, text: str, now: int) -> list[Output]:
        outputs = _receive(self, text, now)
        return [one for one in outputs if not (isinstance(one, Send) and "not JSON" in one.text)]

    Session.receive = silent  # type: ignore[method-assign]


MUTANTS: Defects = {defect.__name__: defect for defect in (closes, breaks, leaks, mixes, swallows)}


def __getattr__(name: str) -> Handlers:
    return planted(name, MUTANTS, handlers)
