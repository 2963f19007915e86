# SPDX-License-Identifier: Apache-2.0
"""Whose call a process is given, without processes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from longcall_server.core.turns import KEPT_PART
from longcall_server.executor import process_pool
from longcall_server.executor.process_handle import ProcessCall
from longcall_server.executor.process_pool import ProcessPool
from longcall_server.handlers.attempt import Bounds, Call, ServerInfo
from longcall_server.handlers.signature import Place
from longcall_server.stores.base import Owner


class Stub:
    """Stands for a process that is ready at once and ends its call when it is told."""

    made: list[Stub]

    def __init__(self, *, on_free: Callable[[Any], None], on_gone: object) -> None:
        self.ready = self.was_ready = True
        self.call: ProcessCall | None = None
        self.task = asyncio.get_running_loop().create_future()
        self._on_free = on_free
        self.made.append(self)
        asyncio.get_running_loop().call_soon(on_free, self)

    def begin(self, call: ProcessCall) -> None:
        assert self.call is None
        self.call = call

    def end(self) -> None:
        self.call = None
        self._on_free(self)

    def close(self) -> None:
        self.task.set_result(None)

    def kill(self) -> None:
        pass


def call_of(sub: str) -> ProcessCall:
    return ProcessCall(
        Place("nowhere", "nothing"),
        Call("r", "a", "null", 1, Owner("t", sub)),
        server=ServerInfo("0", "none", datetime.now(UTC)),
        bounds=Bounds(),
        listener=lambda _: None,
    )


def running() -> Counter[str]:
    return Counter(one.call.owner.sub for one in Stub.made if one.call is not None)


def end_one_of(sub: str) -> None:
    next(one for one in Stub.made if one.call is not None and one.call.owner.sub == sub).end()


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    Stub.made = []
    monkeypatch.setattr(process_pool, "PoolProcess", Stub)


@pytest.mark.usefixtures("stubs")
async def test_owners_take_turns_at_the_processes() -> None:
    pool = ProcessPool(1)
    for sub in ("flood",) * 20 + ("other",) * 2:
        pool.submit(call_of(sub))
    order = []
    for _ in range(4):
        await asyncio.sleep(0)
        (only,) = Stub.made
        assert only.call is not None
        order.append(only.call.owner.sub)
        only.end()
    assert order == ["flood", "other", "flood", "other"]
    await pool.close()


@pytest.mark.usefixtures("stubs")
async def test_processes_are_kept_for_owners_of_whom_nothing_runs() -> None:
    pool = ProcessPool(KEPT_PART)
    for _ in range(3 * KEPT_PART):
        pool.submit(call_of("flood"))
    await asyncio.sleep(0)
    assert running() == {"flood": KEPT_PART - 1}
    pool.submit(call_of("late"))
    pool.submit(call_of("late"))
    assert running() == {"flood": KEPT_PART - 1, "late": 1}
    end_one_of("late")
    assert running() == {"flood": KEPT_PART - 1, "late": 1}
    # The last place is kept again; what has to wait for it runs when there is another.
    end_one_of("flood")
    assert running() == {"flood": KEPT_PART - 2, "late": 1}
    end_one_of("late")
    assert running() == {"flood": KEPT_PART - 1}
    await pool.close()
