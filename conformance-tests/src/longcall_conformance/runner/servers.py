# SPDX-License-Identifier: Apache-2.0
"""The servers under test of a run."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from .case import Case
from .external_server import ExternalServer
from .manifest import Manifest, make_fixture
from .ports import kept_port
from .server_process import ServerProcess
from .under_test import ServerFailed, ServerUnderTest


class ServerPool:
    """Starts servers when they are first needed, and always stops them.

    Cases that share a server do not see each other: each play has tenants of its own. A case that
    ends servers has one of its own; at a URL, where there is but one, it has it alone.
    """

    def __init__(self, manifest: Manifest | None, fixtures: Path) -> None:
        self._manifest = manifest
        self._fixtures = fixtures.resolve()
        self._shared: dict[str, ServerProcess] = {}
        self._making = asyncio.Lock()
        self._external = _ReadersAndWriters()
        given = manifest.secret() if manifest is not None else None
        self.secret = given or secrets.token_hex(32)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._shared.values():
            await server.stop()

    @property
    def claims(self) -> dict[str, Any]:
        """What every token of this run says as well."""
        return dict(self._manifest.jwt.get("claims", {})) if self._manifest is not None else {}

    @asynccontextmanager
    async def server_for(self, case: Case) -> AsyncIterator[ServerUnderTest | None]:
        """A running server with what the case needs; None for a case without one."""
        if case.kind == "client":
            yield None
            return
        manifest = self._manifest
        if manifest is None:
            raise ServerFailed(f"{case.name} needs a server: name its manifest with --server")
        async with self._making:
            for name in case.server.get("fixtures", ()):
                await make_fixture(manifest, name, self._fixtures)
        if manifest.url is not None:
            async with self._external.turn(alone=case.ends_servers):
                external = ExternalServer(manifest, self._fixtures)
                try:
                    yield external
                finally:
                    await external.stop()
            return
        if not case.ends_servers:
            yield await self._share(manifest, case.server)
            return
        with kept_port() as port:
            server = ServerProcess(manifest, case.server, self._fixtures, self.secret, port=port)
            try:
                await server.start()
                yield server
            finally:
                await server.stop()

    async def _share(self, manifest: Manifest, needs: dict[str, Any]) -> ServerProcess:
        chosen = [needs.get(name) for name in ("handlers", "limits", "settings")]
        key = json.dumps(chosen, sort_keys=True)
        async with self._making:
            server = self._shared.get(key)
            if server is None or not server.is_running:
                if server is not None:
                    await server.stop()
                server = ServerProcess(manifest, needs, self._fixtures, self.secret)
                self._shared[key] = server
                await server.start()
            return server


class _ReadersAndWriters:
    """Many at a time, or one alone."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._readers = 0
        self._alone = False

    @asynccontextmanager
    async def turn(self, *, alone: bool) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._alone and not (alone and self._readers))
            self._alone = alone
            self._readers += 1
        try:
            yield
        finally:
            async with self._changed:
                self._readers -= 1
                self._alone = False
                self._changed.notify_all()
