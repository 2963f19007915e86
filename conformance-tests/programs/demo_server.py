# SPDX-License-Identifier: Apache-2.0
"""The reference server with its demonstration handlers, for programs that a person would write."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from longcall_conformance.referee.tokens import token_set
from longcall_conformance.runner.manifest import Manifest
from longcall_conformance.runner.server_process import ServerProcess

SUITE = Path(__file__).parent.parent


@dataclass(frozen=True)
class DemoServer:
    """A server that runs, and alice, who may request anything of it."""

    process: ServerProcess
    token: str

    @property
    def url(self) -> str:
        return self.process.url

    @property
    def environment(self) -> dict[str, str]:
        """What a program of alice is started with; nothing of whoever runs the tests."""
        own = {name: value for name, value in os.environ.items() if name[:9] != "LONGCALL_"}
        return {**own, "LONGCALL_URL": self.url, "LONGCALL_TOKEN": self.token}


@asynccontextmanager
async def demo_server(folder: Path) -> AsyncIterator[DemoServer]:
    """Starts it with its data in `folder`, and stops it."""
    manifest = Manifest.load(SUITE / "manifests" / "longcall-server.yaml")
    secret = secrets.token_hex(32)
    process = ServerProcess(manifest, {"handlers": "demo"}, folder, secret)
    try:
        await process.start()
        yield DemoServer(process, token_set(secret, "programs")["alice"])
    finally:
        await process.stop()
