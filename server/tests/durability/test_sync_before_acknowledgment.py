# SPDX-License-Identifier: Apache-2.0
"""PROTOCOL 5.2, as the kernel sees it: write the request, sync the log, only then acknowledge.

`kill -9` cannot tell `synchronous=FULL` from `OFF`, since the kernel keeps what a dead process
wrote. The order of the system calls can: strace writes them down with their data.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import pytest
from served import SERVE, UNSAFE_SERVE, connection, receive, serve

MARK = "a-payload-that-is-easy-to-find"
CALLS = "write,pwrite64,writev,pwritev,fsync,fdatasync,sendto,sendmsg,openat,open"


async def system_calls(folder: Path, program: str) -> list[str]:
    """Runs one request under strace; the lines up to the end, oldest first."""
    trace = folder / "trace.txt"
    prefix = ["strace", "-f", "-y", "-s", "400000", "-e", f"trace={CALLS}", "-o", str(trace)]
    async with (
        serve(folder, prefix=prefix, program=program) as server,
        connection(server.url) as socket,
    ):
        await socket.send_json(
            {"type": "request", "id": "the-one", "action": "echo", "payload": MARK}
        )
        await receive(socket, "acknowledgment")
        pid = int(
            (folder / "ready.json").read_text().split('"pid":')[1].split("}")[0].split(",")[0]
        )
        os.kill(pid, signal.SIGTERM)
        await server.process.wait()
    return trace.read_text(errors="replace").splitlines()


def is_synced_before_told(lines: list[str]) -> bool:
    """Whether a sync of the WAL lies between the write of the request and its acknowledgment."""
    wal_write = re.compile(r"\bp?write(v|64|v64)?\(\d+<[^>]*-wal>")
    wal_sync = re.compile(r"\bf(data)?sync\(\d+<[^>]*-wal>\)\s*= 0|f(data)?sync resumed>.*= 0")
    written = next(i for i, line in enumerate(lines) if wal_write.search(line) and MARK in line)
    told = next(
        i
        for i, line in enumerate(lines)
        if re.search(r"\b(sendto|sendmsg|write|writev)\(", line)
        and "acknowledgment" in line
        and "socket:" in line.split(">")[0] + ">"
    )
    assert written < told, "the acknowledgment was sent before the request was written"
    return any(wal_sync.search(line) for line in lines[written:told])


needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None and os.environ.get("CI") != "true",
    reason="strace is not on this machine: apt-get install strace",
)


@pytest.mark.clause("1.1.2", "5.2.1")
@pytest.mark.slow
@needs_strace
async def test_the_wal_is_synced_between_the_write_and_the_acknowledgment(tmp_path: Path) -> None:
    assert is_synced_before_told(await system_calls(tmp_path, SERVE))


@pytest.mark.slow
@needs_strace
async def test_without_the_sync_the_check_goes_red(tmp_path: Path) -> None:
    """The control: with `synchronous=OFF` there is no such sync, and the check must see that."""
    assert not is_synced_before_told(await system_calls(tmp_path, UNSAFE_SERVE))
