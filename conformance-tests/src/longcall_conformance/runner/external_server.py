# SPDX-License-Identifier: Apache-2.0
"""A server under test that somebody else has started, at a URL."""

from __future__ import annotations

from pathlib import Path

from .manifest import Manifest
from .server_process import run_command
from .under_test import How, ServerFailed


class ExternalServer:
    """It is there already; the manifest may say how it is ended and started again."""

    def __init__(self, manifest: Manifest, fixtures: Path) -> None:
        assert manifest.url is not None
        self._manifest = manifest
        self._fixtures = fixtures
        self.url: str = manifest.url
        self.is_running = True

    def fixture(self, name: str) -> Path:
        """The file that a fixture made."""
        return self._fixtures / name

    def log(self) -> str:
        """Nothing: it keeps its log to itself."""
        return ""

    async def start(self) -> None:
        """Has it started again."""
        await self._run(self._manifest.start)
        self.is_running = True

    async def kill(self, how: How) -> None:
        """Has it ended."""
        await self._run(self._manifest.kill if how == "kill9" else self._manifest.stop)
        self.is_running = False

    async def stop(self) -> None:
        """Starts it again if a case left it ended; it is not ours to end."""
        if not self.is_running:
            await self.start()

    async def _run(self, command: str | None) -> None:
        if command is None:
            raise ServerFailed(f"{self._manifest.name} does not say how it is ended or started")
        await run_command(self._manifest, command, {"fixtures": str(self._fixtures)})
