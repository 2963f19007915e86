# SPDX-License-Identifier: Apache-2.0
"""A disk that is full or read-only: `UNAVAILABLE`, nothing lost, nothing twice (PROTOCOL 10.3).

The whole server and a client on the wire, with disks of several kinds:

- a real file system that is full (where mounting one is allowed),
- a limit of the process on the size of its files, which quotas resemble,
- the kernel's answer to each write of the database, as strace injects it: `EROFS`, `ENOSPC`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Protocol

import pytest
from processes import Process, serving, working
from wire import PATIENCE, Message, Wire, connected, is_terminal

from longcall_server.stores.base import Owner, Record, RequestKey
from longcall_server.stores.sqlite import SqliteStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PAYLOAD = "x" * 20_000


class Disk(Protocol):
    """What can stop taking writes, and take them again."""

    async def fill(self, server: Process) -> None: ...

    async def free(self, server: Process) -> None: ...


class SmallFileSystem:
    """A file system of a few megabytes, under the data folder."""

    def __init__(self, data: Path) -> None:
        self._filler = data / "filler"

    async def fill(self, server: Process) -> None:
        await asyncio.to_thread(self._fill)

    def _fill(self) -> None:
        with self._filler.open("wb", buffering=0) as filler:
            for size in (65_536, 1):
                try:
                    while True:
                        filler.write(b"x" * size)
                except OSError:
                    continue

    async def free(self, server: Process) -> None:
        self._filler.unlink()


class FileSizeLimit:
    """No file of the server may be written any more, by a limit on its process."""

    async def fill(self, server: Process) -> None:
        self._set(server, 0)

    async def free(self, server: Process) -> None:
        self._set(server, resource.RLIM_INFINITY)

    def _set(self, server: Process, limit: int) -> None:
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (limit, hard))


class FailingWrites:
    """The kernel refuses what SQLite writes, with this error."""

    def __init__(self, error: str, calls: str = "pwrite64,ftruncate,fallocate") -> None:
        self._error = error
        self._calls = calls
        self._strace: asyncio.subprocess.Process | None = None

    async def fill(self, server: Process) -> None:
        calls = self._calls
        self._strace = await asyncio.create_subprocess_exec(
            *("strace", "-f", "-p", str(server.pid), "-o", os.devnull),
            *("-e", f"trace={calls}", "-e", f"inject={calls}:error={self._error}"),
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._strace.stderr is not None
        async with asyncio.timeout(PATIENCE):
            line = (await self._strace.stderr.readline()).decode()
        if "attached" not in line:
            await self._strace.wait()
            pytest.skip(f"strace may not attach to a process here: {line.strip()}")

    async def free(self, server: Process) -> None:
        assert self._strace is not None
        self._strace.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            await self._strace.communicate()


@contextmanager
def disk_of(kind: str, data: Path) -> Iterator[Disk]:
    """A disk under this data folder; skips where the machine does not allow it."""
    if kind == "file system":
        data.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "longcall-test", str(data)],
            capture_output=True,
            check=False,
        )
        if mounted.returncode != 0:
            pytest.skip("a file system cannot be mounted here")
        try:
            yield SmallFileSystem(data)
        finally:
            subprocess.run(["umount", str(data)], check=True)
    elif kind == "limit":
        yield FileSizeLimit()
    else:
        error, *calls = kind.split()
        if shutil.which("strace") is None and os.environ.get("CI") != "true":
            pytest.skip("strace is not on this machine: apt-get install strace")
        yield FailingWrites(error, *calls)


class Talk:
    """A connection on which everything that was said is remembered."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.said: list[Message] = []

    async def ask(self, type: str, **fields: object) -> Message:
        """Sends a message; the answer to it, whatever else comes meanwhile."""
        await self.wire.send(type, **fields)
        id = fields.get("id", fields.get("request_id"))

        def answers(message: Message) -> bool:
            named = message.get("request_id", message.get("id")) == id
            fits = message.get("reply_to") == type or (
                type in ("request", "list")
                and message["type"] in ("acknowledgment", "response", "listing")
            )
            return named and fits

        return await self._until(answers)

    async def end_of(self, id: str) -> Message:
        """The terminal event of a request, now or when it was."""

        def ends(message: Message) -> bool:
            return message.get("request_id") == id and is_terminal(message)

        for message in self.said:
            if ends(message):
                return message
        return await self._until(ends)

    async def _until(self, condition: object) -> Message:
        received = await self.wire.until(condition)  # type: ignore[arg-type]
        self.said += received
        return received[-1]


def is_refused(answer: Message) -> bool:
    if answer["type"] != "error":
        return False
    assert answer["error"]["code"] == "UNAVAILABLE", answer
    assert answer["error"]["retryable"] is True
    assert "seq" not in answer
    return True


@asynccontextmanager
async def talking(folder: Path) -> AsyncIterator[tuple[Process, Talk]]:
    flags = ("--lease", "4s", "--drain-grace", "5s")
    async with (
        serving(folder, *flags, handlers="disk_app:handlers") as server,
        connected(server.url) as wire,
    ):
        yield server, Talk(wire)


@pytest.mark.clause("5.2.1")
@pytest.mark.parametrize("kind", ["file system", "limit", "EROFS", "ENOSPC"])
async def test_a_disk_that_takes_nothing_is_told_as_unavailable_and_loses_nothing(
    tmp_path: Path, kind: str
) -> None:
    acknowledged = {"gated", "waiting"}
    with disk_of(kind, tmp_path / "data") as disk:
        async with talking(tmp_path) as (server, talk):
            await talk.ask("request", id="gated", action="gated")
            talk.said += await talk.wire.until_type("chunk")
            await talk.ask("request", id="waiting", action="keep", payload="w", delay_ms=1_000)

            await disk.fill(server)
            for number in itertools.count():
                id = f"new-{number}"
                # What is allocated already may still take a few.
                answer = await talk.ask("request", id=id, action="keep", payload=PAYLOAD)
                if is_refused(answer):
                    break
                acknowledged.add(id)

            # Reads go on, and so does what needs no write, on the same connection.
            assert (await talk.ask("request", id="e", action="echo", payload=1))["result"] == 1
            snapshot = await talk.ask("attach", request_id="gated", after_seq=0)
            assert snapshot["request"]["status"] == "processing"
            listing = await talk.ask("list", id="all", limit=100)
            assert {request["id"] for request in listing["requests"]} == acknowledged
            assert is_refused(await talk.ask("cancel", request_id="waiting"))

            # A handler that writes now waits, for longer than its lease.
            await talk.ask("request", id="o", action="open_gate")
            await server.logged("a write of request gated is repeated")
            await server.logged(*["the renewal of leases failed"] * 6)
            again = await talk.ask("request", id=id, action="keep", payload=PAYLOAD, resend=True)
            assert is_refused(again)

            await disk.free(server)
            while is_refused(
                answer := await talk.ask(
                    "request", id=id, action="keep", payload=PAYLOAD, resend=True
                )
            ):
                pass
            assert "duplicate" not in answer
            acknowledged.add(id)
            for one in acknowledged - {"gated", "waiting"}:
                assert (await talk.end_of(one))["result"] == len(PAYLOAD)
            assert (await talk.end_of("waiting"))["result"] == 1
            assert (await talk.end_of("gated"))["result"] == "done"

            server.signal(signal.SIGTERM)
            code, _ = await server.ended()
            assert code == 0
        await everything_is_there_once(tmp_path / "data" / "longcall.sqlite3", acknowledged)


async def test_workers_of_other_processes_keep_their_leases_over_an_outage(tmp_path: Path) -> None:
    disk, app = FileSizeLimit(), "disk_app:handlers"
    async with (
        serving(tmp_path, "--no-worker", "--lease", "4s", handlers=app) as server,
        working(tmp_path, "--lease", "4s", handlers=app) as worker,
        connected(server.url) as wire,
    ):
        await wire.send("request", id="i", action="insist")
        chunks = [(await wire.until_type("chunk"))[-1]["data"]]
        for process in (server, worker):
            await disk.fill(process)
        # The lease has run out: the one could not renew it, the other could not take it back.
        await worker.logged(*["the renewal of leases failed"] * 6)
        await server.logged("the sweep failed")
        for process in (server, worker):
            await disk.free(process)
        received = await wire.ended()
        chunks += [message["data"] for message in received if message["type"] == "chunk"]
        assert received[-1].get("result") == len(chunks), received[-1]
        assert chunks == list(range(1, len(chunks) + 1))


@pytest.mark.clause("10.3.1", "10.3.2")
async def test_a_write_that_cannot_be_synced_is_neither_acknowledged_nor_refused(
    tmp_path: Path,
) -> None:
    with disk_of("EIO fsync,fdatasync", tmp_path / "data") as disk:
        async with talking(tmp_path) as (server, talk):
            await disk.fill(server)
            await talk.wire.send("request", id="a", action="keep", payload="x")
            await server.logged("OutcomeUnknown('the commit failed")
            # Others are answered meanwhile: nothing has been said of this one.
            await talk.ask("request", id="e", action="echo", payload=1)
            assert not [message for message in talk.said if message.get("request_id") == "a"]
            await disk.free(server)
            assert (await talk.end_of("a"))["result"] == 1
            (first, *_) = [message for message in talk.said if message.get("request_id") == "a"]
            assert (first["type"], "duplicate" in first) == ("acknowledgment", False)


async def test_a_server_does_not_start_on_a_full_disk_and_says_why(tmp_path: Path) -> None:
    with disk_of("file system", tmp_path / "data") as disk:
        async with talking(tmp_path) as (server, talk):
            await talk.ask("request", id="a", action="gated")
            talk.said += await talk.wire.until_type("chunk")
            await disk.fill(server)
            server.signal(signal.SIGKILL)
            await server.ended()
        with pytest.raises(AssertionError) as refusal:
            async with talking(tmp_path):
                pass
        said = str(refusal.value)
        assert "No space left" in said or "is full" in said
        assert "Traceback" not in said
        await disk.free(server)
        async with talking(tmp_path) as (server, talk):
            # The attempt died with its server, and it was the last.
            snapshot = await talk.ask("attach", request_id="a", after_seq=0)
            assert snapshot["request"]["status"] == "failed"


async def everything_is_there_once(database: Path, acknowledged: set[str]) -> None:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        stored = [id for (id,) in connection.execute("SELECT id FROM requests")]
    assert sorted(stored) == sorted(acknowledged)
    store = SqliteStore(database)
    await store.open()
    try:
        key = RequestKey(Owner("acme", "alice"), "gated")
        record, log = await store.get(key), await store.read(key, 0)
    finally:
        await store.close()
    assert isinstance(record, Record)
    # One attempt: what it wrote while the disk took nothing was neither lost nor repeated.
    assert (record.attempt, record.failures) == (1, 0)
    assert log is not None
    chunks = [event.frame for event in log.events if '"type":"chunk"' in event.frame]
    assert [frame.rpartition(":")[2] for frame in chunks] == ['"begun"}', "0}", "1}", "2}"]
