# SPDX-License-Identifier: Apache-2.0
"""Killed after any of its chunks, a report goes on: every row once, the same file and figures."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from conftest import Killed, Reporter

from longcall_demo.make_csv import records
from longcall_server import HandlerError

pytestmark = pytest.mark.slow  # whole reports, many times over

WEATHER = {"report_type": "monthly", "start_date": "2012-01-15", "end_date": "2012-07-10"}
CASES: list[dict[str, Any]] = [
    WEATHER | {"format": "csv"},
    WEATHER | {"format": "pdf"},
    WEATHER | {"format": "xlsx"},
    {"report_type": "annual", "group_by": "week", "format": "csv", "source": "ordered.csv"},
    {"report_type": "quarterly", "format": "pdf", "source": "shuffled.csv"},
]


@pytest.fixture
def sources(report: Reporter) -> None:
    for name, shuffle in (("ordered.csv", False), ("shuffled.csv", True)):
        text = "".join(records(4_000, 1, date(2019, 9, 1), 500, shuffle=shuffle))
        report.source(text, name)


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_resumed_after_each_chunk_it_emits_the_rest_and_makes_the_same_file(
    report: Reporter, case: dict[str, Any]
) -> None:
    assert len(report.resumed_everywhere(**case).chunks) >= 4


def test_resumed_after_the_last_chunk_it_emits_nothing_and_completes(report: Reporter) -> None:
    whole, unbroken = report(**CASES[0])
    second = report.recorder(unbroken.checkpoints[-1])
    assert report.run(CASES[0], second) == whole
    assert second.chunks == []


def test_killed_at_every_attempt_it_comes_to_its_end(report: Reporter) -> None:
    _, unbroken = report(**CASES[0])
    rows: list[dict[str, Any]] = []
    checkpoint = None
    for _ in range(len(unbroken.chunks) // 2):
        attempt = report.recorder(checkpoint)
        attempt.kill_after = 2
        with pytest.raises(Killed):
            report.run(CASES[0], attempt)
        rows += attempt.rows
        checkpoint = attempt.checkpoints[-1]
    last = report.recorder(checkpoint)
    report.run(CASES[0], last)
    assert rows + last.rows == unbroken.rows


def test_a_source_that_changed_between_two_attempts_is_refused(report: Reporter) -> None:
    name = report.source("date,x\n2020-01-01,1\n2020-02-01,2\n")
    case = {"format": "csv", "report_type": "monthly", "source": name}
    first = report.recorder()
    first.kill_after = 1
    with pytest.raises(Killed):
        report.run(case, first)
    report.source("date,x\n2020-01-01,1\n2020-02-01,3\n")
    second = report.recorder(first.checkpoints[-1])
    with pytest.raises(HandlerError) as failed:
        report.run(case, second)
    assert (failed.value.code, failed.value.retryable) == ("SOURCE_CHANGED", False)
    assert second.chunks == []


def test_a_source_written_into_meanwhile_is_refused(report: Reporter) -> None:
    name = report.source("date,x\n2020-01-01,1\n")
    recorder = report.recorder()

    def append(_: object) -> bool:
        if recorder.looks_at_cancelled == 1:
            with (report.data / name).open("a") as file:
                file.write("2020-01-02,2\n")
        return False

    recorder.cancel_when = append
    with pytest.raises(HandlerError) as failed:
        report.run({"format": "csv", "report_type": "monthly", "source": name}, recorder)
    assert failed.value.code == "SOURCE_CHANGED"


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_cancel_is_seen_at_the_next_step_wherever_it_comes(
    report: Reporter, case: dict[str, Any]
) -> None:
    report.cancelled_everywhere(**case)


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_progress_only_grows_and_ends_at_100(report: Reporter, case: dict[str, Any]) -> None:
    _, recorder = report(**case)
    assert recorder.percentages == sorted(recorder.percentages)
    assert recorder.percentages[0] >= 0
    assert recorder.percentages[-1] == 100
    assert recorder.messages[-1].startswith(f"page {len(recorder.chunks)} of ")


def test_two_reports_at_once_do_not_disturb_each_other(report: Reporter) -> None:
    cases = [CASES[1], {**CASES[1], "report_type": "quarterly"}]
    alone = [report(**case)[0] for case in cases]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda case: report(**case)[0], cases))
    assert together == alone


def test_chunks_of_wide_tables_stay_far_below_a_message(report: Reporter) -> None:
    names = [f"a_column_with_quite_a_long_name_{number}" for number in range(250)]
    line = ",".join(["123456.789"] * len(names))
    lines = [f"2020-01-{day:02},{line}" for day in range(1, 32)]
    source = report.source("\n".join(["date," + ",".join(names), *lines]))
    _, recorder = report(format="csv", report_type="monthly", source=source)
    assert len(recorder.rows) == 31
    assert len(recorder.chunks) > 1
    assert max(len(json.dumps(chunk)) for chunk in recorder.chunks) < 400_000
