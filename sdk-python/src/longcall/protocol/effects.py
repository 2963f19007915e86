# SPDX-License-Identifier: Apache-2.0
"""What the protocol wants done: the front end takes these after each call, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..events import Announcement, ClientState
from ..options import TokenReason


@dataclass(frozen=True, slots=True)
class Open:
    """Get a token, open a socket, then call `handle_opened` or `handle_open_failed`."""

    link: int
    reason: TokenReason


@dataclass(frozen=True, slots=True)
class Send:
    """Send one text frame."""

    link: int
    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket, opened or still opening, then call `handle_closed`, whatever happens."""

    link: int
    code: int
    reason: str
    abort: bool = False
    """True: the peer is dead; cut the connection without a closing handshake."""


@dataclass(frozen=True, slots=True)
class SetReadLimit:
    """Let the socket refuse messages over this size from now on. PROTOCOL 6.5.3."""

    link: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class FetchToken:
    """Get a fresh token, then call `handle_token` or `handle_token_failed`."""

    link: int


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The state of the connection is another."""

    state: ClientState


@dataclass(frozen=True, slots=True)
class Announced:
    """An announcement arrived."""

    announcement: Announcement


@dataclass(frozen=True, slots=True)
class Warned:
    """Something for the log: what was ignored, refused or broken, never with a token in it."""

    text: str


Effect: TypeAlias = (
    Open | Send | Close | SetReadLimit | FetchToken | StateChanged | Announced | Warned
)
