# SPDX-License-Identifier: Apache-2.0
"""Threads that own a connection and serve the event loop: one that writes, others that read.

A lane takes what waits in its queue as one batch, and hands all answers back in one call. For
the writer a batch is one transaction: group commit. An answer leaves only after COMMIT returned:
that is the durable acknowledgment. Owners take turns in the queue and have a bounded part of a
batch, so that what one has asked for a thousand times does not hold up another's first question.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from longcall_server.core.turns import TurnQueue
from longcall_server.stores.base import OutcomeUnknown, StoreError, StoreUnavailable
from longcall_server.stores.sqlite.write_lock import begin_write

_log = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S")
Connect = Callable[[], sqlite3.Connection]

MAX_BATCH = 256
"""The most operations in one transaction: bounds what waits for one sync of the disk."""
MAX_SHARE = 64
"""The most of them that are of one owner."""


class Session(Protocol):
    """What the operations of one transaction work with."""

    def flush(self) -> None:
        """Writes what was put off to the end of the transaction."""


@dataclass(slots=True)
class _Job(Generic[S]):
    operation: Callable[[S], Any]
    future: asyncio.Future[Any]


@dataclass(slots=True)
class _Answer:
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Lane(Generic[S]):
    """A thread with a connection of its own; its operations are called with an `S`."""

    def __init__(self, name: str, connect: Connect) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._queue: TurnQueue[_Job[S]] = TurnQueue()
        self._changed = threading.Condition()
        """Guards the queue, and tells the thread of what comes."""
        self._is_stopping = False
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._is_open = False

    async def start(self) -> None:
        """Connects; raises what connecting raises."""
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread.start()
        await self._started
        self._is_open = True

    async def stop(self) -> None:
        """Finishes what waits, then closes the connection; a lane that never started is stopped."""
        if not self._is_open:
            return
        self._is_open = False
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        await self._ended
        self._thread.join()

    async def run(self, operation: Callable[[S], T], who: Hashable = None) -> T:
        """Runs the operation on the lane's thread and returns its answer.

        `who` it is done for takes turns with others; None is the server itself. What one asks for
        is done in the order of asking. An operation that was handed over is not taken back by
        cancelling the caller.
        """
        if not self._is_open:
            raise StoreUnavailable("the store is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        with self._changed:
            self._queue.put(who, _Job(operation, future))
            self._changed.notify()
        return await future

    def _main(self) -> None:
        try:
            self._connection = self._connect()
        except BaseException as error:
            self._deliver([_Answer(self._started, error=error)])
            return
        self._deliver([_Answer(self._started)])
        stopping = False
        while not stopping:
            batch, stopping = self._next_batch()
            if batch:
                self._deliver(self._answers(batch))
        self._disconnect()
        self._deliver([_Answer(self._ended)])

    def _answers(self, batch: list[_Job[S]]) -> list[_Answer]:
        try:
            if self._connection is None:
                self._connection = self._connect()
        except (sqlite3.Error, StoreError) as error:
            return _all_fail(batch, _unavailable(error))
        try:
            return self._serve(self._connection, batch)
        except BaseException as error:
            # Not even a ROLLBACK worked: what this connection has done, only a new one can tell.
            _log.exception("a connection to the database is given up")
            self._disconnect()
            return _all_fail(batch, OutcomeUnknown(f"the connection failed: {error}"))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _next_batch(self) -> tuple[list[_Job[S]], bool]:
        shares: Counter[Hashable] = Counter()
        batch: list[_Job[S]] = []
        with self._changed:
            while not self._queue and not self._is_stopping:
                self._changed.wait()
            while len(batch) < MAX_BATCH:
                taken = self._queue.take(lambda who: shares[who] < MAX_SHARE)
                if taken is None:
                    break
                who, job = taken
                shares[who] += 1
                batch.append(job)
            return batch, self._is_stopping and not self._queue

    def _serve(self, connection: sqlite3.Connection, batch: list[_Job[S]]) -> list[_Answer]:
        raise NotImplementedError

    def _deliver(self, answers: list[_Answer]) -> None:
        try:
            self._loop.call_soon_threadsafe(_hand_over, answers)
        except RuntimeError:
            _log.warning("the event loop closed before %d answers of the store", len(answers))


def _hand_over(answers: list[_Answer]) -> None:
    for answer in answers:
        if answer.future.done():
            continue
        if answer.error is None:
            answer.future.set_result(answer.result)
        else:
            answer.future.set_exception(answer.error)


class ReadLane(Lane[sqlite3.Connection]):
    """Answers a batch from one snapshot, taken after the newest of its questions was asked."""

    def _serve(
        self, connection: sqlite3.Connection, batch: list[_Job[sqlite3.Connection]]
    ) -> list[_Answer]:
        try:
            connection.execute("BEGIN")
        except sqlite3.Error as error:
            return _all_fail(batch, _unavailable(error))
        try:
            return [_answer(connection, job) for job in batch]
        finally:
            _roll_back(connection)


W = TypeVar("W", bound=Session)


class WriteLane(Lane[W]):
    """Commits a batch as one transaction; a refusal of one operation does not undo the others."""

    def __init__(
        self,
        name: str,
        connect: Connect,
        begin: Callable[[sqlite3.Connection], W],
        after_commit: Callable[[sqlite3.Connection, int], None],
    ) -> None:
        super().__init__(name, connect)
        self._begin = begin
        self._after_commit = after_commit
        self.commits = 0
        """Transactions that changed something and were committed."""
        self.is_failing = False
        """The last transaction that had something to write could not write it."""
        self.recovered_at = -math.inf
        """When the first one after such a time was committed, by `time.monotonic`."""

    def _answers(self, batch: list[_Job[W]]) -> list[_Answer]:
        before = self.commits
        answers = super()._answers(batch)
        if any(isinstance(answer.error, _TROUBLE) for answer in answers):
            self.is_failing = True
        elif self.is_failing and self.commits != before:
            self.recovered_at = time.monotonic()
            self.is_failing = False
        return answers

    def _serve(self, connection: sqlite3.Connection, batch: list[_Job[W]]) -> list[_Answer]:
        before = connection.total_changes
        answers = self._transact(connection, batch)
        changes = connection.total_changes - before
        if changes:
            self._after_commit(connection, changes)
        return answers

    def _transact(self, connection: sqlite3.Connection, batch: list[_Job[W]]) -> list[_Answer]:
        try:
            begin_write(connection)
        except sqlite3.Error as error:
            return _all_fail(batch, _unavailable(error))
        start = connection.total_changes
        session = self._begin(connection)
        answers = []
        for job in batch:
            before = connection.total_changes
            answer = _answer(session, job)
            if answer.error is not None and (
                connection.total_changes != before or not isinstance(answer.error, _REFUSALS)
            ):
                # Half an operation must not be committed. Nobody was answered yet, so the others
                # simply run again, each on its own.
                _roll_back(connection)
                if len(batch) == 1:
                    return [answer]
                return [self._transact(connection, [one])[0] for one in batch]
            answers.append(answer)
        failure = _commit(connection, session)
        if failure is not None:
            _roll_back(connection)
            return _all_fail(batch, failure)
        self.commits += connection.total_changes != start
        return answers


def _commit(connection: sqlite3.Connection, session: Session) -> Exception | None:
    try:
        session.flush()
    except sqlite3.Error as error:
        return _unavailable(error)
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        return _commit_failure(error)
    return None


def _all_fail(batch: list[_Job[Any]], error: Exception) -> list[_Answer]:
    return [_Answer(job.future, error=error) for job in batch]


_TROUBLE = (StoreUnavailable, OutcomeUnknown)
_REFUSALS = (StoreError, ValueError)
"""What an operation raises before it has written anything."""


def _answer(session: S, job: _Job[S]) -> _Answer:
    try:
        return _Answer(job.future, result=job.operation(session))
    except sqlite3.Error as error:
        return _Answer(job.future, error=_unavailable(error))
    except BaseException as error:
        return _Answer(job.future, error=error)


def _roll_back(connection: sqlite3.Connection) -> None:
    # A full disk or an I/O error has often rolled back already.
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _unavailable(error: Exception) -> Exception:
    """Before COMMIT nothing is written; a broken rule of the schema is a defect and stays one."""
    if isinstance(error, (StoreError, sqlite3.IntegrityError, sqlite3.ProgrammingError)):
        return error
    return StoreUnavailable(f"the database cannot be used right now: {error}")


def _commit_failure(error: sqlite3.Error) -> Exception:
    """Tells a commit that did not happen from one of which nobody knows.

    A full or read-only disk, a quota, a failing write and a lock end it before its last frame is
    whole, and without it the others count for nothing. (SQLite writes nothing behind that frame
    unless it is built without SQLITE_POWERSAFE_OVERWRITE, its default.) After a failed sync the
    frame may lie in the file, and would count if the machine stopped now (PROTOCOL 10.3).
    """
    code = error.sqlite_errorcode
    certain = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY)
    if code & 0xFF in certain or code == sqlite3.SQLITE_IOERR_WRITE:
        return StoreUnavailable(f"the database cannot be written right now: {error}")
    return OutcomeUnknown(f"the commit failed: {error}")
