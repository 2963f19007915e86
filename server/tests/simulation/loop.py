# SPDX-License-Identifier: Apache-2.0
"""An event loop whose clock is a number, and the lives of the processes that share it.

Nothing waits: when nothing is ready, the clock jumps to the next timer. Every callback belongs to a
process (a `Life`), told by its context. A process that is killed runs no callback any more, not
even those of `finally`; one that is stalled runs them all later, as after SIGSTOP and SIGCONT.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)

MOST_STEPS = 500_000
"""A thousand times what a schedule takes."""


@dataclass(eq=False)
class Life:
    """One process."""

    name: str
    dead: bool = False
    stalled: bool = False
    parked: list[asyncio.Handle] = field(default_factory=list)
    """What became due while it was stalled, or after its death."""

    def context(self) -> contextvars.Context:
        """A context whose callbacks belong to this process."""
        context = contextvars.Context()
        context.run(LIFE.set, self)
        return context


class Task(asyncio.Task[Any]):
    """Sets of tasks have the order of their making, in every process."""

    _numbers = itertools.count(1)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._number = next(Task._numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop without selector, threads and waiting. `steps` counts the callbacks that ran."""

    _ready: Any
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = itertools.count()
        self.steps = 0
        self.tasks: list[Task] = []
        """Every task ever: one of a dead process must not be collected, it would run `finally`."""
        self.set_task_factory(cast(Any, self._make_task))

    def time(self) -> float:
        return self._now

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def resume(self, life: Life) -> None:
        """A stalled process goes on with what became due meanwhile."""
        life.stalled = False
        parked, life.parked = life.parked, []
        self._ready.extendleft(reversed(parked))

    def bury(self, lives: Iterable[Life]) -> None:
        """Cancels whatever is left, and lets the dead clean up as well: nobody looks any more."""
        for task in self.left:
            task.cancel()
        for life in lives:
            life.dead = False
            self.resume(life)

    @property
    def left(self) -> list[Task]:
        """Tasks that have not ended."""
        return [task for task in self.tasks if not task.done()]

    def _run_once(self) -> None:
        ready = self._ready
        if not ready:
            self._advance()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            life = handle._context.get(LIFE)
            if life is not None and (life.dead or life.stalled):
                life.parked.append(handle)
                continue
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise RuntimeError("the simulation runs in circles")
            handle._run()
            if self._stopping:
                return

    def _advance(self) -> None:
        timers = self._timers
        while timers:
            when, _, timer = heapq.heappop(timers)
            if timer.cancelled():
                continue
            self._now = max(self._now, when)
            self._ready.append(timer)
            while timers and timers[0][0] <= self._now:
                timer = heapq.heappop(timers)[2]
                if not timer.cancelled():
                    self._ready.append(timer)
            return
        raise RuntimeError("nothing is ready and no timer is set: the simulation is stuck")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays in the heap and is skipped."""

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
    ) -> Task:
        task = Task(work, loop=loop, **options)
        self.tasks.append(task)
        return task
