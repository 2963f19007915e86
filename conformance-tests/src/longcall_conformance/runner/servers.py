# SPDX-License-Identifier: Apache-2.0
"""Servers under test: shared by the cases that leave them alone, not by those that kill."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from .case import Case
from .lint import CaseRefused
from .manifest import Manifest, ServerProcess, make_fixture


class ServerPool:
    """Starts servers when they are first needed, and always stops them.

    Cases that share a server do not see each other: each play has tenants of its own.
    """

    def __init__(self, manifest: Manifest | None, fixtures: Path) -> None:
        self._manifest = manifest
        self._fixtures = fixtures.resolve()
        self._shared: dict[str, ServerProcess] = {}
        self._making = asyncio.Lock()
        self.secret = secrets.token_hex(32)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._shared.values():
            await server.stop()

    @asynccontextmanager
    async def server_for(self, case: Case) -> AsyncIterator[ServerProcess | None]:
        """A running server with what the case needs; None for a case without one."""
        if case.kind == "client":
            yield None
            return
        if self._manifest is None:
            raise CaseRefused(f"{case.name} needs a server: name its manifest with --server")
        async with self._making:
            for name in case.server.get("fixtures", ()):
                await make_fixture(self._manifest, name, self._fixtures)
        if not case.ends_servers:
            yield await self._share(self._manifest, case.server)
            return
        server = ServerProcess(self._manifest, case.server, self._fixtures, self.secret)
        try:
            await server.start()
            yield server
        finally:
            await server.stop()

    async def _share(self, manifest: Manifest, needs: dict[str, Any]) -> ServerProcess:
        key = json.dumps([needs.get("handlers"), needs.get("limits")], sort_keys=True)
        async with self._making:
            server = self._shared.get(key)
            if server is None or not server.is_running:
                if server is not None:
                    await server.stop()
                server = ServerProcess(manifest, needs, self._fixtures, self.secret)
                self._shared[key] = server
                await server.start()
            return server
