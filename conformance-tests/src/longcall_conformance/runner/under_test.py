# SPDX-License-Identifier: Apache-2.0
"""What plays ask of a server under test, whoever started it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

How = Literal["kill9", "term"]


class ServerFailed(Exception):
    """The server under test did not start, ended on its own, or is described wrongly."""


class ServerUnderTest(Protocol):
    """One server."""

    @property
    def url(self) -> str:
        """Where clients connect."""

    @property
    def is_running(self) -> bool:
        """Whether it lives, as far as can be known."""

    def fixture(self, name: str) -> Path:
        """The file that a fixture made."""

    def log(self) -> str:
        """The end of what it wrote; empty where nobody knows."""

    async def start(self) -> None:
        """Starts it, at first or again on the same data; returns when it is ready."""

    async def kill(self, how: How) -> None:
        """Ends it: at once, or as a service manager would; returns when it has ended."""

    async def stop(self) -> None:
        """Lets go of it at the end of a run."""
