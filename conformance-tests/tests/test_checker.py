# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longcall_conformance.__main__ import main
from longcall_conformance.referee.checker import Kind, Report, check, same
from longcall_conformance.referee.observations import ObservationFile

Line = dict[str, Any]
Change = Callable[[list[Line]], None]

EXPECT = {
    "result": {"sum": 6},
    "chunks": [[1], [2], [3]],
    "percentage": 100,
    "files": {"sum.txt": "f00d"},
    "codes": ["TIMEOUT", "CANCELLED"],
}


def line(what: str, **members: Any) -> Line:
    return {"what": what, "request_id": "a", **members}


def event(what: str, **members: Any) -> Line:
    return line(what, reading="r1", **members)


def status(seq: int, status: str, attempt: int, kept: int) -> Line:
    return event("status", seq=seq, status=status, attempt=attempt, chunks_kept_to=kept)


def chunk(seq: int, attempt: int, data: Any) -> Line:
    return event("chunk", seq=seq, attempt=attempt, data=data)


def progress(attempt: int, version: int, percentage: float) -> Line:
    return event("progress", attempt=attempt, version=version, percentage=percentage)


def good() -> list[Line]:
    """A request with a lost attempt of which one chunk stands and one does not."""
    return [
        line("submit", action="sum", payload=[1, 2, 3], expect=EXPECT),  # 0
        line("acknowledged"),
        event("read"),
        status(1, "queued", 0, 0),
        status(2, "processing", 1, 0),
        progress(1, 1, 10),  # 5
        chunk(3, 1, [1]),
        chunk(4, 1, ["void"]),
        status(5, "retrying", 1, 3),
        status(6, "processing", 2, 3),
        chunk(7, 2, [2]),  # 10
        chunk(8, 2, [3]),
        progress(2, 1, 100),
        event("end"),
        line("result", handle="h1", result={"sum": 6}),
        line("file", name="sum.txt", size=4, sha256="f00d"),  # 15
    ]


def judged(folder: Path, *files: list[Line]) -> Report:
    for number, lines in enumerate(files):
        observed = ObservationFile(folder / f"client-{number}.jsonl")
        for one in lines:
            members = dict(one)
            observed.note(members.pop("what"), members.pop("request_id", None), **members)
        observed.close()
    return check(folder.glob("*.jsonl"))


def kinds(report: Report) -> set[Kind]:
    return {finding.kind for finding in report.findings}


def test_a_log_with_a_lost_attempt_and_the_right_end_is_fine(tmp_path: Path) -> None:
    report = judged(tmp_path, good())
    assert report.findings == ()
    assert report.counts["requests"] == report.counts["acknowledged"] == 1
    assert report.counts["completed"] == 1
    assert report.counts["chunks"] == 4
    assert report.counts["voided"] == 1
    assert report.counts["retrying None"] == 1


def test_what_others_saw_of_the_same_request_is_compared(tmp_path: Path) -> None:
    other = [one for one in good()[2:15] if one["what"] != "progress" or one["attempt"] == 2]
    assert judged(tmp_path, good(), other).findings == ()


def insert(at: int, *lines: Line) -> Change:
    def change(log: list[Line]) -> None:
        log[at:at] = lines

    return change


def drop(*at: int) -> Change:
    def change(log: list[Line]) -> None:
        for number in sorted(at, reverse=True):
            del log[number]

    return change


def alter(at: int, **members: Any) -> Change:
    def change(log: list[Line]) -> None:
        log[at] = {**log[at], **members}

    return change


def swap(one: int, other: int) -> Change:
    def change(log: list[Line]) -> None:
        log[one], log[other] = log[other], log[one]

    return change


def expecting(**members: Any) -> Change:
    return alter(0, expect={**EXPECT, **members})


def ended_with(code: str) -> Change:
    def change(log: list[Line]) -> None:
        log[14:16] = [line("error", handle="h1", code=code)]

    return change


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (drop(0), Kind.UNKNOWN),
        (insert(1, good()[0]), Kind.UNKNOWN),
        (drop(14, 15), Kind.LOST),
        (drop(1, 14, 15), Kind.UNANSWERED),
        (drop(13), Kind.UNFINISHED),
        (insert(11, chunk(7, 2, [2])), Kind.TWICE),
        (insert(14, event("end")), Kind.TWICE),
        (insert(15, good()[14]), Kind.TWICE),
        (drop(10), Kind.GAP),
        (drop(3), Kind.GAP),
        (swap(10, 11), Kind.ORDER),
        (swap(12, 13), Kind.ORDER),
        (insert(13, progress(2, 1, 100)), Kind.ORDER),
        (insert(13, progress(1, 9, 100)), Kind.ORDER),
        (alter(9, attempt=3), Kind.ATTEMPT),
        (alter(10, attempt=1), Kind.ATTEMPT),
        (alter(8, attempt=2), Kind.ATTEMPT),
        (swap(7, 8), Kind.ATTEMPT),
        (alter(9, chunks_kept_to=6), Kind.VOID),
        (insert(10, status(7, "processing", 3, 2)), Kind.VOID),
        (insert(11, chunk(7, 2, ["other"])), Kind.DIFFERENT),
        (insert(15, line("result", handle="h2", result=7)), Kind.DIFFERENT),
        (insert(15, line("error", handle="h2", code="TIMEOUT")), Kind.DIFFERENT),
        (alter(14, result={"sum": 7}), Kind.RESULT),
        (alter(0, expect={"codes": ["TIMEOUT"]}), Kind.RESULT),
        (alter(9, chunks_kept_to=4), Kind.CHUNKS),
        (alter(9, chunks_kept_to=0), Kind.CHUNKS),
        (alter(11, data=[4]), Kind.CHUNKS),
        (expecting(chunks=[[1], [2]]), Kind.CHUNKS),
        (drop(12), Kind.PROGRESS),
        (alter(12, percentage=99), Kind.PROGRESS),
        (drop(15), Kind.FILE),
        (alter(15, sha256="beef"), Kind.FILE),
        (expecting(files={}), Kind.FILE),
        (ended_with("INTERNAL_ERROR"), Kind.ERROR),
        (ended_with("CANCELLED"), Kind.ERROR),
        (insert(14, line("trouble", text="QueueFull()")), Kind.ERROR),
        (insert(14, {"what": "trouble", "text": "ConnectionClosed()"}), Kind.ERROR),
        (alter(5, attempt="one"), Kind.MALFORMED),
        (alter(6, reading="never begun"), Kind.MALFORMED),
    ],
)
def test_each_kind_of_fault_is_found(tmp_path: Path, change: Change, kind: Kind) -> None:
    lines = good()
    change(lines)
    assert kind in kinds(judged(tmp_path, lines))


def test_every_kind_of_finding_has_a_file_that_shows_it() -> None:
    (marks,) = (
        mark
        for mark in test_each_kind_of_fault_is_found.pytestmark  # type: ignore[attr-defined]
        if mark.name == "parametrize"
    )
    assert {kind for _, kind in marks.args[1]} == set(Kind)


def test_a_cancel_that_somebody_asked_for_is_no_error(tmp_path: Path) -> None:
    lines = good()
    ended_with("CANCELLED")(lines)
    report = judged(tmp_path, lines, [line("cancel", reason="enough")])
    assert report.findings == ()
    assert report.counts["cancels"] == report.counts["error CANCELLED"] == 1


def test_two_readings_that_saw_another_log_are_found(tmp_path: Path) -> None:
    other = good()[2:15]
    alter(8, data=[5])(other)
    assert Kind.DIFFERENT in kinds(judged(tmp_path, good(), other))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text + "{}\n",
        lambda text: text + '{"n": 18, "what": "closed"}\n',
        lambda text: text.replace('"n": 3,', '"n": 4,'),
        lambda text: text.rsplit("\n", 2)[0] + "\n",
        lambda text: text[:-20],
        lambda text: text.replace('"seq": 1,', ""),
        lambda text: text.replace('"what": "progress"', '"what": "sparkle"'),
    ],
)
def test_a_file_that_is_none_is_found(tmp_path: Path, spoil: Callable[[str], str]) -> None:
    judged(tmp_path, good())
    path = tmp_path / "client-0.jsonl"
    path.write_text(spoil(path.read_text()))
    found = kinds(check([path]))
    assert found & {Kind.MALFORMED, Kind.GAP}


def test_a_file_that_is_not_there_is_found(tmp_path: Path) -> None:
    assert kinds(check([tmp_path / "none.jsonl"])) == {Kind.MALFORMED}


def test_null_is_a_result_and_a_chunk_like_any(tmp_path: Path) -> None:
    lines = good()
    expecting(result=None, chunks=[None, [2], [3]])(lines)
    alter(14, result=None)(lines)
    alter(6, data=None)(lines)
    assert judged(tmp_path, lines).findings == ()


def test_equal_json_values_are_the_same() -> None:
    assert same({"a": [1, 2.0]}, {"a": [1.0, 2]})
    assert not same(True, 1)
    assert not same([0], [False])
    assert not same({"a": 1}, {"b": 1})
    assert not same([1], [1, 2])


def test_an_observation_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    ObservationFile(path).close()
    with pytest.raises(FileExistsError):
        ObservationFile(path)
    assert json.loads(path.read_text())["what"] == "closed"


def test_the_command_judges_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged(tmp_path, good())
    path = str(tmp_path / "client-0.jsonl")
    assert main(["judge", path]) == 0
    assert capsys.readouterr().out.endswith("\n1 passed, 0 failed\n")
    (tmp_path / "empty.jsonl").write_text('{"n": 1, "at": 0, "what": "closed"}\n')
    assert main(["judge", str(tmp_path / "empty.jsonl")]) == 3
    assert main(["judge", path, str(tmp_path / "none.jsonl")]) == 1
    assert "malformed: -: " in capsys.readouterr().out


def test_a_sparse_reading_is_shown_chunks_alone(tmp_path: Path) -> None:
    lines = [
        line("submit", action="sum", payload=[], expect={"result": 1, "chunks": ["a", "b"]}),
        event("read", sparse=True),
        chunk(3, 1, "a"),
        chunk(7, 1, "b"),
        event("end"),
        line("result", handle="h1", result=1),
    ]
    again = [*lines[:4], chunk(7, 1, "b"), *lines[4:]]
    report = judged(tmp_path, lines, [{**one, "request_id": "b"} for one in again])
    assert {(finding.kind, finding.request_id) for finding in report.findings} == {
        (Kind.TWICE, "b"),
    }
