# SPDX-License-Identifier: Apache-2.0
"""Several processes write to one file: each waits for its turn, and not for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlite_helpers import opened, raw, submit

from longcall_server.stores.base import StoreUnavailable
from longcall_server.stores.sqlite import write_lock
from longcall_server.stores.suite.support import key_of


async def test_a_write_waits_for_the_transaction_of_another_process(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as store:
        with raw(tmp_path / "x.db") as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(submit(store, "a"))
            # Reads go on meanwhile.
            assert await store.get(key_of("a")) is None
            assert not waiting.done()
            other.execute("COMMIT")
            assert (await waiting).outcome == "created"


async def test_a_write_that_waits_too_long_wrote_nothing_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_lock, "BUSY_TIMEOUT_MS", 50)
    async with opened(tmp_path / "x.db") as store:
        with raw(tmp_path / "x.db") as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="database is locked"):
                await submit(store, "a")
            other.execute("COMMIT")
        assert await store.get(key_of("a")) is None
        assert (await submit(store, "a")).outcome == "created"
