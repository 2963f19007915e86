# SPDX-License-Identifier: Apache-2.0
"""What is demanded of a run through the fault proxy; whole runs stand in programs/."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from longcall_conformance.faults.observer import Followed, Observer
from longcall_conformance.faults.outcome import Outcome, judge
from longcall_conformance.faults.plan import LOTS, kinds_of, plan_of_faults
from longcall_conformance.faults.workload import Asked, mixed
from longcall_conformance.referee.observations import ObservationFile

SUBMITTED = Asked("submit", "conf.once", {}, {"result": 1, "chunks": ["a"]}, executions=1)
CALLED = Asked("call", "conf.promoted", {}, {"result": 2}, executions=1, is_durable=False)
CANCELLED = Asked(
    "submit", "conf.once", {}, {"codes": ["CANCELLED"]}, executions=1, cancel_at="acknowledged"
)
KINDS = dict.fromkeys(kinds_of(plan_of_faults()), 1)


def good(folder: Path) -> Outcome:
    """Two requests, each seen to its end by a driver that tells everything once."""
    path = folder / "client-0.jsonl"
    file = ObservationFile(path)
    prompted: list[tuple[str, str]] = []
    observer = Observer(lambda one, moment: prompted.append((one.name, moment)))
    for name, asked in (("r1", SUBMITTED), ("r2", CALLED)):
        one = observer.follow(Followed(name, name, file, is_call=asked.verb == "call"))
        one.note("submit", action=asked.action, payload=asked.payload, expect=asked.expect)
        if one.is_call:
            one.read()
    status = {"ev": "handle.status", "handle": "r1", "chunks_kept_to": 0}
    for event in (
        {"ev": "connection.state", "client": "c0", "state": "reconnecting"},
        {"ev": "handle.acknowledged", "handle": "r1", "request_id": "id-1"},
        {**status, "seq": 1, "status": "queued", "attempt": 0},
        {**status, "seq": 2, "status": "processing", "attempt": 1},
        {"ev": "handle.chunk", "handle": "r1", "seq": 3, "attempt": 1, "data": "a"},
        {"ev": "handle.progress", "handle": "r2", "attempt": 1, "version": 1},
        {"ev": "handle.result", "handle": "r1", "result": 1},
        {"ev": "handle.end", "handle": "r1"},
        {"ev": "handle.result", "handle": "r2", "result": 2},
    ):
        observer.take(event)
    file.close()
    assert prompted == [("r1", "acknowledged"), ("r2", "progress")]
    assert observer.lost_connections == 1
    return Outcome(
        files=[path],
        asked={"r1": SUBMITTED, "r2": CALLED},
        wanted=2,
        kinds=tuple(KINDS),
        counters={"r1": 1, "r2": 2},
        attempts=observer.attempts,
        ids=observer.ids,
        proxy={"kinds": KINDS},
    )


def test_a_run_in_which_all_is_well_passes(tmp_path: Path) -> None:
    verdicts, report = judge(good(tmp_path))
    assert verdicts.findings == []
    assert verdicts.passed
    assert report.counts["completed"] == 2


CHANGES: dict[str, tuple[Callable[[Outcome], Outcome], str]] = {
    "stored work that ran twice": (
        lambda one: replace(one, counters={"r1": 2, "r2": 1}),
        "executions: r1 (conf.once) ran 2 times, not 1",
    ),
    "stored work that never ran": (
        lambda one: replace(one, counters={"r2": 1}),
        "executions: r1 (conf.once) ran 0 times, not 1",
    ),
    "a quick one that never ran": (
        lambda one: replace(one, counters={"r1": 1}),
        "executions: r2 (conf.promoted) ran 0 times, and ended",
    ),
    "more executions than attempts": (
        lambda one: replace(one, attempts={"r1": 2}, counters={"r1": 3, "r2": 1}),
        "executions: r1 (conf.once) ran 3 times in 2 attempts",
    ),
    "one id for two requests": (
        lambda one: replace(one, ids={"id-1": ["r1", "r2"]}),
        "ids: r1 and r2 were acknowledged under one id, id-1",
    ),
    "a kind that never fired": (
        lambda one: replace(one, proxy={"kinds": {**KINDS, "stall": 0}}),
        "faults: stall never fired",
    ),
    "too few faults": (
        lambda one: replace(one, asked={f"q{n}": CANCELLED for n in range(100)}, wanted=100),
        "faults: 9 faults for 100 requests, not 20",
    ),
    "a leak": (
        lambda one: replace(one, leaks=["Task reader"]),
        "left behind: Task reader",
    ),
    "a socket": (
        lambda one: replace(one, still_open=3),
        "left behind: 3 sockets are open",
    ),
    "a driver that broke off": (
        lambda one: replace(one, failure="the driver: it ended"),
        "run: the driver: it ended",
    ),
    "silence": (
        lambda one: replace(one, gave_up=True),
        "run: nothing came any more, and requests were open",
    ),
    "too few requests": (
        lambda one: replace(one, wanted=3),
        "run: 2 of 3 requests were asked for",
    ),
    "a defect of the server": (
        lambda one: replace(one, server_log="12:00 ERROR longcall: no\nTraceback (most\n"),
        "server log: 12:00 ERROR longcall: no",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_wrong_is_found(tmp_path: Path, change: str) -> None:
    make, finding = CHANGES[change]
    verdicts, _ = judge(make(good(tmp_path)))
    assert finding in verdicts.findings
    assert not verdicts.passed


def test_what_was_cancelled_before_it_began_need_not_have_run(tmp_path: Path) -> None:
    outcome = replace(good(tmp_path), asked={"r1": CANCELLED}, wanted=1, counters={})
    assert judge(outcome)[0].findings == []


def test_requests_are_a_matter_of_the_seed_and_each_kind_comes() -> None:
    made = [[mixed(rng, f"r{n}") for n in range(300)] for rng in (Random(1), Random(1), Random(2))]
    assert made[0] == made[1] != made[2]
    assert {one.action for one in made[0]} == {
        "echo", "echo_async", "conf.script", "conf.once", "conf.promoted",
    }  # fmt: skip
    assert {one.verb for one in made[0]} == {"submit", "call"}
    assert {one.cancel_at for one in made[0]} == {None, "acknowledged", "progress"}
    assert any(one.watched for one in made[0])


def test_every_fault_that_an_sdk_must_survive_is_drawn() -> None:
    assert set(KINDS) == {
        *("fin", "reset", "blackhole", "mid-frame", "stall", "delay", "duplicate", "throttle"),
        "slice",
    }
    assert any(lot["fault"] == "blackhole" and "ms" not in lot for lot in LOTS)
