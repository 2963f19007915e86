# SPDX-License-Identifier: Apache-2.0
"""Programs in a terminal of their own, as a person has them: what they show, what is typed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

PATIENCE = 30.0
"""Seconds after which a test that waits is wrong."""


class Terminal:
    """The other end of a pseudoterminal."""

    def __init__(self, process: asyncio.subprocess.Process, end: int) -> None:
        self.process = process
        self.shown = b""
        self._end = end

    async def until(self, words: bytes) -> bytes:
        """Waits until these words were shown since the last ones; returns what came with them."""
        async with asyncio.timeout(PATIENCE):
            while words not in self.shown:
                self.shown += await asyncio.to_thread(os.read, self._end, 65536)
        before, _, self.shown = self.shown.partition(words)
        return before + words

    async def rest(self) -> bytes:
        """Waits for the end of the program; returns all that it still showed."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    more = await asyncio.to_thread(os.read, self._end, 65536)
                except OSError:  # Linux: nobody has the other end any more
                    break
                if not more:
                    break
                self.shown += more
            await self.process.wait()
        return self.shown

    def type(self, keys: bytes) -> None:
        """Types; the byte 3 is Ctrl-C."""
        os.write(self._end, keys)


@asynccontextmanager
async def terminal(
    *words: str, columns: int = 80, environment: Mapping[str, str] | None = None, pipe: bool = False
) -> AsyncIterator[Terminal]:
    """Runs a program in a terminal; with `pipe` its standard output goes elsewhere."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    # In a session of its own, which the terminal controls: Ctrl-C becomes a signal by the kernel.
    lead = (
        "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "os.execvp(sys.argv[1], sys.argv[1:])"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", lead, *words),
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE if pipe else theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", **(environment or {})},
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
