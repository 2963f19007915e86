# SPDX-License-Identifier: Apache-2.0
"""Real processes of the server under test: servers and workers on one data folder."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from wire import PATIENCE, SECRET

HERE = Path(__file__).parent
_numbers = itertools.count()


class Process:
    """A process that is ready."""

    def __init__(self, process: asyncio.subprocess.Process, ready: dict[str, Any]) -> None:
        self._process = process
        self.ready = ready
        """What its ready file says."""
        self.pid: int = ready["pid"]

    @property
    def url(self) -> str:
        """Where clients connect, of a server."""
        return str(self.ready["url"])

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def said(self) -> bytes:
        """The next line on standard error."""
        assert self._process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            return await self._process.stderr.readline()

    async def logged(self, *texts: str) -> None:
        """Waits until each of these has been written to standard error, in this order."""
        for text in texts:
            while text not in (line := (await self.said()).decode()):
                assert line, f"the server ended without {text!r}"

    async def ended(self) -> tuple[int, str]:
        """The exit code and what it wrote to standard error."""
        code, _, errors = await self.output()
        return code, errors

    async def over(self) -> int:
        """The exit code, of one that writes to a file."""
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()

    async def output(self) -> tuple[int, str, str]:
        """The exit code, and all that it wrote to standard output and to standard error."""
        async with asyncio.timeout(PATIENCE):
            output, errors = await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode, output.decode(), errors.decode()


@asynccontextmanager
async def running(
    command: str,
    folder: Path,
    *flags: str,
    handlers: str,
    log: str = "",
    **environment: str,
) -> AsyncIterator[Process]:
    """Starts a command with some handlers, waits until it says that it is ready, and never leaves
    it behind. `log`: a file for all that it says, where nobody reads that meanwhile."""
    ready_file = folder / f"ready-{next(_numbers)}.json"
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if log else asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-m", "longcall_server", command, handlers),
        *("--data-dir", str(folder / "data"), "--ready-file", str(ready_file)),
        *flags,
        cwd=HERE,
        env=os.environ | environment,
        stdout=said,
        stderr=said,
    )
    if log:
        os.close(said)
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


def serving(
    folder: Path, *flags: str, handlers: str = "integration_app:handlers"
) -> AbstractAsyncContextManager[Process]:
    """A server."""
    key = {"LONGCALL_JWT_SECRET": SECRET}
    return running("serve", folder, "--port", "0", *flags, handlers=handlers, **key)


def working(
    folder: Path, *flags: str, handlers: str = "integration_app:handlers"
) -> AbstractAsyncContextManager[Process]:
    """A worker."""
    return running("worker", folder, *flags, handlers=handlers)
