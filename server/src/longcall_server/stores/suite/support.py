# SPDX-License-Identifier: Apache-2.0
"""What the suite's tests are told with: a clock moved by hand, and a scene around a store."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from longcall_server.core import events
from longcall_server.core.lifecycle import RetryPolicy
from longcall_server.stores.base import (
    Claimed,
    Clock,
    Lease,
    NewRequest,
    Owner,
    Promotion,
    Random,
    Record,
    RequestKey,
    Store,
    StoredProgress,
    StoreLimits,
    SubmitOutcome,
    Submitted,
)

ALICE = Owner("acme", "alice")
BOB = Owner("acme", "bob")
WORKER = "worker-1"
LEASE_MS = 30_000
START = 1_800_000_000_000
FAILURE = '{"code":"HANDLER_ERROR","message":"no luck","retryable":true}'

Test = TypeVar("Test", bound=Callable[..., object])


def clause(*numbers: str) -> Callable[[Test], Test]:
    """Says which clauses of PROTOCOL.md a test of the suite proves; pytest need not be there."""

    def mark(test: Test) -> Test:
        test.__dict__["clauses"] = numbers
        return test

    return mark


class ManualClock:
    """A store's clock that only moves when told."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, ms: int) -> None:
        """Lets this much time pass."""
        self.now += ms


def key_of(id: str, owner: Owner = ALICE) -> RequestKey:
    """The key of a request, Alice's if not said otherwise."""
    return RequestKey(owner, id)


def new_request(id: str, owner: Owner = ALICE, **fields: Any) -> NewRequest:
    """A request as it comes to a store; a submission of its own unless one is given."""
    fields.setdefault("action", "report")
    fields.setdefault("payload", "{}")
    canonical = f"[{fields['action']},{fields['payload']}]"
    fields.setdefault("digest", hashlib.sha256(canonical.encode()).hexdigest())
    fields.setdefault("submission", f"submission-of-{id}")
    fields.setdefault("policy", RetryPolicy())
    return NewRequest(key=RequestKey(owner, id), **fields)


def progress(attempt: int, version: int, percentage: int = 50) -> StoredProgress:
    """A progress report as a worker stores it."""
    body = {"attempt": attempt, "version": version, "percentage": percentage}
    return StoredProgress(attempt, version, json.dumps(body))


@dataclass
class Scene:
    """An open store, its clock, its dice, and short words for what tests do most."""

    store: Store
    clock: ManualClock
    dice: float = 0.5
    """What the store's random numbers are from now on."""

    async def submit(
        self,
        id: str,
        owner: Owner = ALICE,
        *,
        max_in_flight: int = 1_000_000,
        promotion: Promotion | None = None,
        **fields: Any,
    ) -> Submitted:
        """Submits a request."""
        new = new_request(id, owner, **fields)
        return await self.store.submit(new, max_in_flight=max_in_flight, promotion=promotion)

    async def claim(
        self, *actions: str, limit: int = 100, worker: str = WORKER, lease_ms: int = LEASE_MS
    ) -> list[Claimed]:
        """Claims requests of these actions, `report` if none is named."""
        names = actions or ("report",)
        return list(await self.store.claim(worker, names, limit=limit, lease_ms=lease_ms))

    async def running(self, id: str, **fields: Any) -> Lease:
        """Submits a request and claims it; its action is its own so that nothing else comes."""
        fields.setdefault("action", f"action-of-{id}")
        submitted = await self.submit(id, **fields)
        assert submitted.outcome is SubmitOutcome.CREATED
        return await self.claim_again(id)

    async def claim_again(self, id: str) -> Lease:
        """Claims the next attempt of a request that `running` made."""
        (claimed,) = await self.claim((await self.record(id)).action)
        assert claimed.record.key.id == id
        return claimed.lease

    async def chunk(
        self, lease: Lease, data: object, operation: int, checkpoint: str | None = None
    ) -> int:
        """Appends one chunk."""
        draft = events.chunk(lease.key.id, lease.attempt, json.dumps(data))
        return await self.store.append(lease, draft, operation=operation, checkpoint=checkpoint)

    async def fail(self, lease: Lease, *, retryable: bool = True, **more: Any) -> Record:
        """Fails an attempt."""
        return await self.store.fail(lease, FAILURE, retryable=retryable, **more)

    async def record(self, id: str, owner: Owner = ALICE) -> Record:
        """The request as it stands; it must be there."""
        record = await self.store.get(key_of(id, owner))
        assert isinstance(record, Record)
        return record

    async def log(self, id: str, owner: Owner = ALICE) -> list[dict[str, Any]]:
        """The whole log, read page by page, after checking what holds for every log."""
        frames: list[dict[str, Any]] = []
        while True:
            piece = await self.store.read(key_of(id, owner), len(frames), max_bytes=1_000)
            assert piece is not None
            for event in piece.events:
                frame = json.loads(event.frame)
                assert (frame["seq"], frame["request_id"]) == (event.seq, id)
                assert event.is_terminal == (frame["type"] in ("complete", "error"))
                frames.append(frame)
            if not piece.events or len(frames) == piece.record.last_seq:
                break
        _check_log(frames, piece.record)
        return frames

    async def types(self, id: str) -> list[str]:
        """The log as a list of words: the types, for `status` its status."""
        return [
            frame["status"] if frame["type"] == "status" else frame["type"]
            for frame in await self.log(id)
        ]

    async def end_of(self, id: str) -> dict[str, Any]:
        """The ErrorInfo of a request that ended without a result."""
        last = (await self.log(id))[-1]
        assert last["type"] == "error"
        error: dict[str, Any] = last["error"]
        record = await self.record(id)
        assert record.error is not None
        assert json.loads(record.error) == error
        return error


def _check_log(frames: list[dict[str, Any]], record: Record) -> None:
    assert [frame["seq"] for frame in frames] == list(range(1, record.last_seq + 1))
    ends = [frame["seq"] for frame in frames if frame["type"] in ("complete", "error")]
    finished = record.status in ("completed", "failed", "cancelled")
    assert ends == ([record.last_seq] if finished else [])
    assert finished == (record.finished_at is not None)


class StoreTests:
    """The ground of the suite's test classes."""

    def make_store(self, *, limits: StoreLimits, clock: Clock, random: Random) -> Store:
        """Returns a new empty store that is not open yet; every engine says how."""
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def scene(self, **limits: int) -> AsyncIterator[Scene]:
        """An open store with these `StoreLimits`, closed at the end."""
        clock = ManualClock()
        store = self.make_store(
            limits=StoreLimits(**limits), clock=clock, random=lambda: scene.dice
        )
        scene = Scene(store, clock)
        await store.open()
        try:
            yield scene
        finally:
            await store.close()


@contextlib.contextmanager
def raises(error: type[Exception]) -> Iterator[None]:
    """The block must raise this error; the suite does without pytest."""
    try:
        yield
    except error:
        return
    raise AssertionError(f"{error.__name__} was not raised")
