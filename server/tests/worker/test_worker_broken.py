# SPDX-License-Identifier: Apache-2.0
"""A defect in what a worker cannot do without is told, and does not hold up its end."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Never

import pytest
from worker_harness import node

from longcall_server import Handlers, JsonValue, RequestContext
from longcall_server.stores.base import Claimed, Renewal, Renewed
from longcall_server.stores.memory import MemoryStore
from longcall_server.worker.sweeper import Sweeper


class ForgetsRenewals(MemoryStore):
    async def renew(self, renewals: Sequence[Renewal], *, lease_ms: int) -> Sequence[Renewed]:
        return []


class ClaimsOthers(MemoryStore):
    async def claim(self, worker: str, actions: Sequence[str], **how: Any) -> Sequence[Claimed]:
        found = await super().claim(worker, actions, **how)
        return [replace(one, record=one.record._replace(action="foreign")) for one in found]


@pytest.mark.parametrize(("store", "what"), [(ForgetsRenewals, "leases"), (ClaimsOthers, "claims")])
async def test_a_store_with_a_defect_breaks_the_worker(
    store: type[MemoryStore],
    what: str,
    handlers: Handlers,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @handlers.register("wait")
    async def wait(ctx: RequestContext, payload: JsonValue) -> None:
        await asyncio.Event().wait()

    async with node(handlers, tmp_path, store=store(), lease_ms=30) as at:
        await at.submit("wait")
        await asyncio.wait_for(at.worker.broken(), 20)
    told = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert [record.getMessage() for record in told] == [f"longcall {what} has failed"]


async def test_a_sweep_with_a_defect_breaks_the_worker(
    handlers: Handlers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def defect(self: Sweeper) -> Never:
        raise AssertionError

    monkeypatch.setattr(Sweeper, "_wait", defect)
    async with node(handlers, tmp_path) as at:
        await asyncio.wait_for(at.worker.broken(), 20)


async def test_an_end_is_no_failure(
    handlers: Handlers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with node(handlers, tmp_path) as at:
        waiting = asyncio.create_task(at.worker.broken())
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    assert caplog.records == []
