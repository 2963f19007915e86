# SPDX-License-Identifier: Apache-2.0
"""The requests of one run of the command, and how far each has come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..asyncio import Client, RequestHandle
from .exits import Exit

Start = Callable[[Client], Awaitable[RequestHandle]]


@dataclass(eq=False)
class Job:
    """One request that is submitted here, or come back to."""

    index: int
    """Its place on the command line, from 0."""
    id: str
    label: str
    start: Start
    is_sent: bool = False
    """It may be at the server."""
    is_stored: bool = False
    """It is known to be there."""
    exit: Exit | None = None
    """How it ended; None while it has not."""
