# SPDX-License-Identifier: Apache-2.0
"""Real server processes, ready to be talked to, signalled and killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from wire import PATIENCE, SECRET

HERE = Path(__file__).parent


class Process:
    """A server process that is ready."""

    def __init__(self, process: asyncio.subprocess.Process, ready: dict[str, Any]) -> None:
        self._process = process
        self.url: str = ready["url"]
        self.ready = ready
        self.pid: int = ready["pid"]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self) -> tuple[int, str]:
        """The exit code and what it wrote to standard error."""
        async with asyncio.timeout(PATIENCE):
            _, errors = await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode, errors.decode()


@asynccontextmanager
async def serving(
    folder: Path, *flags: str, handlers: str = "integration_app:handlers"
) -> AsyncIterator[Process]:
    """Starts a server, waits until it says that it is ready, and never leaves it behind."""
    ready_file = folder / "ready.json"
    ready_file.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-m", "longcall_server", "serve", handlers),
        *("--port", "0", "--data-dir", str(folder / "data"), "--ready-file", str(ready_file)),
        *flags,
        cwd=HERE,
        env=os.environ | {"LONGCALL_JWT_SECRET": SECRET},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            while not ready_file.exists():
                assert process.returncode is None, (await process.communicate())[1].decode()
                await asyncio.sleep(0.01)
        yield Process(process, json.loads(ready_file.read_text()))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
