# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from longcall_server.stores.base import Clock, Random, Store, StoreLimits
from longcall_server.stores.memory import MemoryStore
from longcall_server.stores.suite import StoreSuite, exercise_store


class TestMemoryStore(StoreSuite):
    def make_store(self, *, limits: StoreLimits, clock: Clock, random: Random) -> Store:
        return MemoryStore(limits=limits, clock=clock, random=random)


async def test_the_suite_also_runs_without_pytest() -> None:
    assert await exercise_store(MemoryStore) > 50
