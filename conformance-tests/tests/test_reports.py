# SPDX-License-Identifier: Apache-2.0
"""`results.json`, what is read from it, and the list of known failures."""

from __future__ import annotations

import datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from longcall_conformance.__main__ import main
from longcall_conformance.runner.baseline import Baseline
from longcall_conformance.runner.lint import CaseRefused
from longcall_conformance.runner.reports import junit, matrix
from longcall_conformance.runner.results import Results, ResultsRefused
from longcall_conformance.runner.verdict import Result, Verdict

TODAY = datetime.date(2026, 6, 1)


def result(
    verdict: Verdict = Verdict.PASS, case: str = "client/a/b", subject: str = "js", **more: str
) -> Result:
    return Result(
        case=case,
        label=more.get("label", case),
        control=False,
        title="t",
        level="MUST",
        requires=("1.1.1",),
        subject=subject,
        verdict=verdict,
        seconds=0.5,
        findings=(more["finding"],) if "finding" in more else (),
    )


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([Verdict.PASS], 0),
        ([Verdict.PASS, Verdict.ALTERNATIVE, Verdict.WARN, Verdict.KNOWN_FAIL], 0),
        ([Verdict.PASS, Verdict.NOT_APPLICABLE], 0),
        ([Verdict.PASS, Verdict.FAIL], 1),
        ([Verdict.PASS, Verdict.CRASH], 1),
        ([Verdict.PASS, Verdict.HANG], 1),
        ([Verdict.PASS, Verdict.UNTESTABLE], 1),
        ([Verdict.FAIL, Verdict.HARNESS_ERROR], 2),
        ([], 3),
        ([Verdict.NOT_APPLICABLE], 3),
    ],
)
def test_each_verdict_has_its_exit_code(verdicts: list[Verdict], code: int) -> None:
    assert Results([result(verdict) for verdict in verdicts]).exit_code == code


def test_what_is_incomplete_or_stale_is_not_green() -> None:
    assert Results([result()], complete=False).exit_code == 3
    assert Results([result()], stale=["it passes now"]).exit_code == 1


def test_the_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    written = Results(
        [result(Verdict.FAIL, finding="f"), result(label="client/a/b[x=\U0001f600]")],
        complete=False,
        subjects={"js": {"sdk": "x"}},
        skipped=["go: none"],
        stale=["s"],
        seconds=1.5,
    )
    written.write(path)
    read = Results.read(path)
    assert read == written
    path.write_text('{"version": 1}')
    with pytest.raises(ResultsRefused, match="version 1, not 2"):
        Results.read(path)


def test_the_matrix_shows_groups_against_subjects() -> None:
    run = Results(
        [
            result(),
            result(Verdict.FAIL),
            result(Verdict.WARN, subject="python"),
            result(Verdict.NOT_APPLICABLE, case="server/x/y", subject="python"),
        ]
    )
    assert matrix(run).splitlines() == [
        "                js    python",
        "client/a       1/2      1/1*",
        "server/x                   -",
    ]
    assert run.closing_line == "1 passed, 1 failed, 1 warn, 1 not-applicable"


def test_junit_has_a_test_for_each_play() -> None:
    run = Results(
        [
            result(label="client/a/b[x=\0]"),
            result(Verdict.FAIL, finding="step 1: <no>"),
            result(Verdict.HARNESS_ERROR, case="server/x/y", subject="s"),
            result(Verdict.KNOWN_FAIL, case="server/x/y", subject="s"),
        ],
        stale=["entry 1 names no play"],
    )
    root = ElementTree.fromstring(junit(run))
    suites = {suite.get("name"): suite for suite in root}
    assert set(suites) == {"client/a", "server/x", "known-failing"}
    client = suites["client/a"]
    assert (client.get("tests"), client.get("failures"), client.get("errors")) == ("2", "1", "0")
    failure = client.find("testcase/failure")
    assert failure is not None
    assert failure.text == "step 1: <no>"
    server = suites["server/x"]
    assert (server.get("errors"), server.get("skipped")) == ("1", "1")
    assert suites["known-failing"].find("testcase/failure") is not None


def test_reports_are_made_from_the_file_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, xml = tmp_path / "results.json", tmp_path / "deep" / "out.xml"
    Results([result(), result(Verdict.FAIL)]).write(path)
    assert main(["report", str(path), "--junit", str(xml)]) == 1
    assert "client/a       1/2" in capsys.readouterr().out
    assert xml.read_text().startswith("<?xml")
    assert main(["report", str(tmp_path / "none.json")]) == 2


ENTRY = "- {case: 'client/a/b[x=*]', subject: js, reason: not done before the summer, expires: %s}"


def baseline(tmp_path: Path, text: str) -> Baseline:
    path = tmp_path / "known-failing.yaml"
    path.write_text(text)
    return Baseline.load(path)


def test_a_known_failure_is_known_by_label_and_subject(tmp_path: Path) -> None:
    known = baseline(tmp_path, ENTRY % "2026-12-31")
    failing = [
        result(Verdict.FAIL, label="client/a/b[x=1]"),
        result(Verdict.FAIL, label="client/a/b[x=1]", subject="go"),
        result(Verdict.HARNESS_ERROR, label="client/a/b[x=1]"),
    ]
    applied = known.apply(failing)
    assert [one.verdict for one in applied] == [
        Verdict.KNOWN_FAIL,
        Verdict.FAIL,
        Verdict.HARNESS_ERROR,
    ]
    assert applied[0].reason == "not done before the summer"
    plays = [("client/a/b[x=1]", "js")]
    assert known.stale(plays, applied, TODAY) == []


def test_a_run_without_the_subject_of_an_entry_says_nothing_of_it(tmp_path: Path) -> None:
    known = baseline(tmp_path, ENTRY % "2026-12-31")
    assert known.stale([("client/a/c", "go")], [], TODAY) == []


@pytest.mark.parametrize(
    ("expires", "plays", "verdict", "told"),
    [
        ("2026-05-31", [("client/a/b[x=1]", "js")], Verdict.KNOWN_FAIL, "expired on 2026-05-31"),
        ("2026-12-31", [("client/a/c", "js")], Verdict.KNOWN_FAIL, "names no play"),
        (
            "2026-12-31",
            [("client/a/b[x=1]", "go"), ("client/a/c", "js")],
            Verdict.KNOWN_FAIL,
            "names no play",
        ),
        ("2026-12-31", [("client/a/b[x=1]", "js")], Verdict.PASS, "passes now (client/a/b[x=1])"),
    ],
)
def test_a_stale_entry_is_named(
    tmp_path: Path, expires: str, plays: list[tuple[str, str]], verdict: Verdict, told: str
) -> None:
    known = baseline(tmp_path, ENTRY % expires)
    (problem,) = known.stale(plays, [result(verdict, label="client/a/b[x=1]")], TODAY)
    assert told in problem


def test_an_entry_outside_of_a_selection_is_left_alone(tmp_path: Path) -> None:
    known = baseline(tmp_path, ENTRY % "2026-12-31")
    assert known.stale([("client/a/b[x=1]", "js")], [], TODAY) == []


@pytest.mark.parametrize(
    "text",
    [
        "case: x",
        "- {case: x}",
        "- {case: x, subject: y, reason: short, expires: 2026-12-31}",
        "- {case: x, subject: y, reason: a reason in words, expires: never}",
        "- {case: x, subject: y, reason: a reason in words, expires: 2026-12-31, colour: 1}",
    ],
)
def test_an_entry_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CaseRefused, match=r"known-failing\.yaml"):
        baseline(tmp_path, text)


def test_a_case_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "server/handshake/bad-token"]) == 0
    said = capsys.readouterr().out
    assert "raw.expect_end" in said
    assert "Without the defect" in said
    assert "4.2.5" in said
    assert main(["explain", "server/handshake/none"]) == 2


def test_clauses_are_explained_by_their_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "10.26"]) == 0
    assert "client/ordering/late-frames" in capsys.readouterr().out
    assert main(["explain", "99.1"]) == 2
