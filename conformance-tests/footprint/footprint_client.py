# SPDX-License-Identifier: Apache-2.0
"""Clients of the Python SDK that tell what they hold: many events of one request, many cancels.

usage: footprint_client.py {asyncio,sync} URL TOKEN EVENTS HANDLES    (prints one JSON object)
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import longcall

OPTIONS = longcall.Options()
SAMPLES = 40
AT_ONCE = 64
WARM_UP = 64
PAGE = os.sysconf("SC_PAGE_SIZE")


class Weight:
    """What this process holds while events go by."""

    def __init__(self, events: int) -> None:
        self._every = max(1, events // SAMPLES)
        self.seen = 0
        self.resident: list[int] = []
        self.objects: list[int] = []

    def take(self, event: longcall.Event) -> None:
        """Counts an event, which must be the next one, and looks now and then."""
        if isinstance(event, longcall.Progress):
            return
        self.seen += 1
        assert event.seq == self.seen, f"{event.seq} after {self.seen - 1}"
        if self.seen % self._every == 0:
            gc.collect()
            pages = Path("/proc/self/statm").read_text().split()[1]
            self.resident.append(int(pages) * PAGE)
            self.objects.append(len(gc.get_objects()))

    def shown(self) -> dict[str, Any]:
        return {"events": self.seen, "resident": self.resident, "objects": self.objects}


def held() -> Counter[str]:
    """How many objects of each class of the SDK there are, and how many of all kinds."""
    gc.collect()
    objects = gc.get_objects()
    ours = Counter(
        f"{type(one).__module__}.{type(one).__qualname__}"
        for one in objects
        if type(one).__module__.startswith("longcall.")
    )
    threads = (thread.name for thread in threading.enumerate())
    ours["threads"] = sum(name.startswith("longcall") for name in threads)
    ours["objects"] = len(objects)
    return ours


async def with_asyncio(url: str, token: str, events: int, handles: int) -> dict[str, Any]:
    """The front end for asyncio."""
    async with longcall.connect(url, token, options=OPTIONS) as client:

        async def cancelled(number: int) -> None:
            handle = await client.submit("wait")
            await handle.cancel(f"number {number}")
            try:
                await handle
            except longcall.RequestCancelledError:
                return
            raise AssertionError("it was not cancelled")

        async def all_cancelled(count: int) -> None:
            for begin in range(0, count, AT_ONCE):
                numbers = range(begin, min(count, begin + AT_ONCE))
                await asyncio.gather(*(cancelled(number) for number in numbers))

        await all_cancelled(WARM_UP)
        before = held()
        await all_cancelled(handles)
        after = held()
        weight = Weight(events)
        async for event in await client.submit("events", events):
            weight.take(event)
    left = [str(task) for task in asyncio.all_tasks() - {asyncio.current_task()}]
    return {**weight.shown(), "before": before, "after": after, "left": left}


def with_sync(url: str, token: str, events: int, handles: int) -> dict[str, Any]:
    """The front end without a loop, its handles in many threads."""
    with (
        longcall.sync.connect(url, token, options=OPTIONS) as client,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):

        def cancelled(number: int) -> None:
            handle = client.submit("wait")
            handle.cancel(f"number {number}")
            try:
                handle.result()
            except longcall.RequestCancelledError:
                return
            raise AssertionError("it was not cancelled")

        def all_cancelled(numbers: Iterable[int]) -> None:
            for _ in pool.map(cancelled, numbers):
                pass

        all_cancelled(range(WARM_UP))
        before = held()
        all_cancelled(range(handles))
        after = held()
        weight = Weight(events)
        for event in client.submit("events", events):
            weight.take(event)
    left = [str(it) for it in threading.enumerate() if it is not threading.main_thread()]
    return {**weight.shown(), "before": before, "after": after, "left": left}


def main() -> None:
    """Weighs one front end."""
    front, url, token, events, handles = sys.argv[1:]
    given = url, token, int(events), int(handles)
    told = asyncio.run(with_asyncio(*given)) if front == "asyncio" else with_sync(*given)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
