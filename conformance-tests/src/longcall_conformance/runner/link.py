# SPDX-License-Identifier: Apache-2.0
"""How the runner is joined to a driver: standard input and output, TCP, or a WebSocket.

node driver.mjs                       started here, talks over stdin and stdout
node driver.mjs --connect {connect}   started here, dials back to {connect} (HOST:PORT)
node launch.mjs {connect_ws}          the same by WebSocket, for a page: ws://HOST:PORT
listen:127.0.0.1:4000                 somebody else starts it, under a debugger say; it dials
listen-ws:127.0.0.1:4000              the same by WebSocket
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import sys
from pathlib import Path
from typing import Protocol

from .page import LineWriter, accept_page

LINE_LIMIT = 64 * 1024 * 1024
DIAL_SECONDS = 60
END_SECONDS = 10


class NoDriver(Exception):
    """The driver could not be started, or did not dial back."""


class Link(Protocol):
    """One driver, joined."""

    async def open(self) -> tuple[asyncio.StreamReader, LineWriter]:
        """Joins it; raises `NoDriver`."""

    async def ended(self) -> str:
        """Waits for its end; says how it ended."""

    async def close(self, *, kill: bool) -> str | None:
        """Ends it, at once or after it said that it will; what was wrong with how it ended."""

    def wrote(self) -> str:
        """The last lines that it wrote to standard error."""


def link_of(command: str, cwd: Path) -> Link:
    """The link that a driver's command asks for."""
    for word, is_page in (("listen:", False), ("listen-ws:", True)):
        if command.startswith(word):
            host, _, port = command.removeprefix(word).rpartition(":")
            if not host or not port.isdigit():
                raise NoDriver(f"{command}: {word}HOST:PORT is needed")
            return DialBack(None, cwd, host, int(port), is_page=is_page)
    if "{connect}" in command or "{connect_ws}" in command:
        return DialBack(command, cwd, "127.0.0.1", 0, is_page="{connect_ws}" in command)
    return Stdio(command, cwd)


class _Process:
    """A driver's process; what it writes to standard error is kept."""

    def __init__(self, command: str, cwd: Path) -> None:
        self._command = command
        self._cwd = cwd
        self._lines: list[str] = []
        self._readers: list[asyncio.Task[None]] = []
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *, piped: bool) -> asyncio.subprocess.Process:
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            self.process = await asyncio.create_subprocess_exec(
                *shlex.split(self._command),
                cwd=self._cwd,
                stdin=pipe if piped else null,
                stdout=pipe,
                stderr=pipe,
                limit=LINE_LIMIT,
            )
        except OSError as error:
            raise NoDriver(f"{self._command}: {error}") from None
        assert self.process.stderr is not None
        assert self.process.stdout is not None
        kept = [self.process.stderr] if piped else [self.process.stderr, self.process.stdout]
        self._readers = [asyncio.create_task(self._keep(stream)) for stream in kept]
        return self.process

    async def _keep(self, stream: asyncio.StreamReader) -> None:
        with contextlib.suppress(ValueError):  # a line over the limit
            while line := await stream.readline():
                self._lines = [*self._lines[-39:], line.decode("utf-8", "replace")]

    async def ended(self) -> str:
        assert self.process is not None
        code = await self.process.wait()
        return f"exit code {code}" if code >= 0 else f"signal {-code}"

    async def close(self, *, kill: bool) -> str | None:
        if self.process is None:
            return None
        wrong = None
        try:
            if kill:
                self.process.kill()
            async with asyncio.timeout(END_SECONDS):
                await self.process.wait()
        except ProcessLookupError:
            pass
        except TimeoutError:
            wrong = "it does not end after bye"
            self.process.kill()
        await self.process.wait()
        if not kill and wrong is None and self.process.returncode != 0:
            wrong = f"it ended with {await self.ended()} after bye"
        for task in self._readers:
            task.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        return wrong

    def wrote(self) -> str:
        return "".join(self._lines)


class Stdio:
    """A process that talks over its standard input and output."""

    def __init__(self, command: str, cwd: Path) -> None:
        self._process = _Process(command, cwd)

    async def open(self) -> tuple[asyncio.StreamReader, LineWriter]:
        process = await self._process.start(piped=True)
        assert process.stdout is not None
        assert process.stdin is not None
        return process.stdout, process.stdin

    async def ended(self) -> str:
        return await self._process.ended()

    async def close(self, *, kill: bool) -> str | None:
        return await self._process.close(kill=kill)

    def wrote(self) -> str:
        return self._process.wrote()


class DialBack:
    """A driver that dials to where the runner listens; started here, or by somebody else."""

    def __init__(
        self, command: str | None, cwd: Path, host: str, port: int, *, is_page: bool = False
    ) -> None:
        self._command = command
        self._cwd = cwd
        self._address = host, port
        self._is_page = is_page
        self._process: _Process | None = None
        self._writer: LineWriter | None = None

    async def open(self) -> tuple[asyncio.StreamReader, LineWriter]:
        dialed: asyncio.Queue[tuple[asyncio.StreamReader, LineWriter]] = asyncio.Queue()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            joined = (reader, writer) if not self._is_page else await accept_page(reader, writer)
            dialed.put_nowait(joined)

        try:
            listener = await asyncio.start_server(accept, *self._address, limit=LINE_LIMIT)
        except OSError as error:
            raise NoDriver(f"{self._address[0]}:{self._address[1]}: {error}") from None
        host, port = listener.sockets[0].getsockname()[:2]
        try:
            if self._command is not None:
                command = self._command.replace("{connect}", f"{host}:{port}")
                command = command.replace("{connect_ws}", f"ws://{host}:{port}")
                self._process = _Process(command, self._cwd)
                await self._process.start(piped=False)
            else:
                print(f"waiting for a driver at {host}:{port}", file=sys.stderr)
            reader, writer = await asyncio.wait_for(dialed.get(), DIAL_SECONDS)
        except TimeoutError:
            await self.close(kill=True)
            raise NoDriver(f"no driver dialed {host}:{port} in {DIAL_SECONDS} s") from None
        finally:
            listener.close()
        self._writer = writer
        return reader, writer

    async def ended(self) -> str:
        return await self._process.ended() if self._process is not None else "it hung up"

    async def close(self, *, kill: bool) -> str | None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError, OSError):
                await self._writer.wait_closed()
        return None if self._process is None else await self._process.close(kill=kill)

    def wrote(self) -> str:
        return self._process.wrote() if self._process is not None else ""
