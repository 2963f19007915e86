# SPDX-License-Identifier: Apache-2.0
"""The command line: one schedule to look at, or very many to be sure."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter

from simulation.weather import report
from simulation.world import Result, run

_BATCH = 200
_SHOWN_FAILURES = 3
_SHOWN_STEPS = 80


@dataclass
class Tally:
    """What came of many schedules."""

    schedules: int = 0
    steps: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Result] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Adds those of another range."""
        self.schedules += other.schedules
        self.steps += other.steps
        self.counts += other.counts
        self.failures += other.failures


def run_range(first: int, last: int) -> Tally:
    """Runs the schedules of the seeds from `first` to `last`, without the latter."""
    tally = Tally()
    for seed in range(first, last):
        result = run(seed)
        tally.schedules += 1
        tally.steps += result.steps
        tally.counts += result.counts
        if result.violations:
            tally.failures.append(result)
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if nothing was broken, 1 if something was."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this schedule and show every step of it")
    parser.add_argument("--schedules", type=int, default=2_000, help="how many (default 2000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)"
    )
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return replay(options.seed)
    return soak(options.first, options.schedules, options.jobs)


def replay(seed: int) -> int:
    """Shows one schedule from beginning to end."""
    result = run(seed)
    print("\n".join(result.trace))
    print(report(result.counts))
    print(f"{result.steps} steps, trace {result.digest}")
    for text in result.violations:
        print(text)
    print("broken" if result.violations else "nothing was broken")
    return int(bool(result.violations))


def soak(first: int, schedules: int, jobs: int) -> int:
    """Runs many schedules in several processes, and says how it goes."""
    started = perf_counter()
    tally = Tally()
    with ProcessPoolExecutor(jobs) as pool:
        batches = list(_batches(first, first + schedules))
        for done in pool.map(run_range, *zip(*batches, strict=True)):
            tally.add(done)
            for result in done.failures[:_SHOWN_FAILURES]:
                print(result.failure(_SHOWN_STEPS), flush=True)
            if tally.schedules % (50 * _BATCH) == 0:
                print(_summary(tally, perf_counter() - started), flush=True)
    print(report(tally.counts))
    print(_summary(tally, perf_counter() - started))
    if tally.failures:
        print("broken by the seeds", *(result.seed for result in tally.failures))
    return int(bool(tally.failures))


def _batches(first: int, last: int) -> Iterator[tuple[int, int]]:
    for begin in range(first, last, _BATCH):
        yield begin, min(begin + _BATCH, last)


def _summary(tally: Tally, seconds: float) -> str:
    return (
        f"{tally.schedules} schedules, {tally.steps} steps, {len(tally.failures)} broken, "
        f"{tally.schedules / seconds:.0f} schedules/s"
    )
