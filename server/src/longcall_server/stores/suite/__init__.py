# SPDX-License-Identifier: Apache-2.0
"""The one suite that every store engine passes; importable by whoever writes another engine.

With pytest (and pytest-asyncio in auto mode), in the engine's test module:

    class TestMyStore(StoreSuite):
        def make_store(self, *, limits, clock, random):
            return MyStore(..., limits=limits, clock=clock, random=random)

Without it: `await exercise_store(MyStore)` raises the first failure. Each test makes a store of its
own and expects it empty.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from longcall_server.stores.base import Store
from longcall_server.stores.suite.attempts import AttemptTests
from longcall_server.stores.suite.deadletters import DeadLetterTests
from longcall_server.stores.suite.endings import EndingTests
from longcall_server.stores.suite.failures import FailureTests
from longcall_server.stores.suite.reading import ReadingTests
from longcall_server.stores.suite.removal import RemovalTests
from longcall_server.stores.suite.scheduling import SchedulingTests
from longcall_server.stores.suite.submitting import PromotionTests, SubmitTests
from longcall_server.stores.suite.support import ManualClock, Scene

__all__ = ["ManualClock", "Scene", "StoreSuite", "exercise_store"]


class StoreSuite(
    SubmitTests,
    PromotionTests,
    AttemptTests,
    SchedulingTests,
    FailureTests,
    DeadLetterTests,
    EndingTests,
    RemovalTests,
    ReadingTests,
):
    """All tests; a subclass says how a store is made (`make_store`)."""


async def exercise_store(factory: Callable[..., Store]) -> int:
    """Runs the whole suite and returns the number of tests.

    `factory(limits=…, clock=…, random=…)` returns a new empty store that is not open yet.
    """

    class Suite(StoreSuite):
        make_store = staticmethod(factory)

    names = [name for name, _ in inspect.getmembers(Suite, inspect.iscoroutinefunction)]
    tests = [name for name in names if name.startswith("test_")]
    for name in tests:
        await getattr(Suite(), name)()
    return len(tests)
