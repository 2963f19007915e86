# SPDX-License-Identifier: Apache-2.0
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import clauses as tool
from clause_markers import Found, Marker
from protocol_text import clauses

TEXT = """\
# The protocol

## 5. The life of a request

### 5.4 `attach`, and more

**5.4.1** A worker MUST hold a lease.

**5.4.2** A receiver MAY refuse it.

## 10. Races

### 10.1 Order

**10.1.1** Messages MUST be processed in order.
"""
KNOWN = list(clauses(TEXT))
TEST = Path("server/tests/test_worker.py")
MOST = {"identity": 0, "client": 1, "HTTP": 0}


def complaints(
    tested: Sequence[str] = (),
    left: Mapping[str, Sequence[str]] | None = None,
    earlier: Sequence[Mapping[str, Sequence[str]]] = (),
    most: Mapping[str, int] = MOST,
) -> list[str]:
    found = Found([Marker(number, TEST, "test_it") for number in tested], [])
    return list(tool.problems(KNOWN, found, left or {}, earlier, most))


def test_clauses_with_a_test_or_a_room_are_in_order_and_a_permission_needs_neither() -> None:
    assert complaints(["5.4.1"], {"client": ["10.1.1"]}) == []


def test_a_clause_without_a_test_and_a_room_is_named_with_its_words() -> None:
    assert complaints(["5.4.1"], most={"client": 0}) == [
        "schema/PROTOCOL.md: no test proves 10.1.1: Messages MUST be processed in order."
    ]


def test_a_clause_that_has_its_test_goes_off_the_list() -> None:
    assert complaints(["5.4.1", "10.1.1"], {"client": ["10.1.1"]}) == [
        "docs/clauses-left.toml: 10.1.1 has a test now: take it off the list"
    ]


def test_an_unknown_clause_is_refused_in_a_marker_and_in_the_list() -> None:
    assert complaints(["5.4.1", "10.1.1", "5.4.3"], {"client": ["9.9.9"]}) == [
        f"{TEST}: test_it: there is no clause 5.4.3 in schema/PROTOCOL.md",
        "docs/clauses-left.toml: there is no clause 9.9.9 in schema/PROTOCOL.md",
    ]


def test_a_clause_is_left_once() -> None:
    left = {"client": ["10.1.1"], "HTTP": ["10.1.1"]}

    assert complaints(["5.4.1"], left, most={"client": 1, "HTTP": 1}) == [
        "docs/clauses-left.toml: 10.1.1 stands there 2 times"
    ]


def test_a_room_that_is_none_is_refused() -> None:
    assert complaints(["5.4.1"], {"later": ["10.1.1"]}, most={"client": 0}) == [
        "docs/clauses-left.toml: later is no room: a test is left to client or written now"
    ]


def test_a_room_leaves_no_more_than_its_number_and_its_number_no_room_for_more() -> None:
    assert complaints(["5.4.1"], {"client": ["10.1.1"]}, most={"client": 0}) == [
        "docs/clauses-left.toml: client has 1 clauses; the list may only shrink from 0"
    ]
    assert complaints(["5.4.1"], {"client": ["10.1.1"]}, most={"client": 2}) == [
        "docs/clauses-left.toml: client has 1 clauses: lower its number in tools/clauses.py"
    ]


def test_a_clause_that_was_ever_off_the_list_does_not_come_back() -> None:
    left = {"client": ["10.1.1"]}
    once = {"identity": ["10.1.1"], "client": ["5.4.1"]}

    assert complaints(["5.4.1"], left, earlier=[left, once]) == []
    assert complaints(["5.4.1"], left, earlier=[left, {"client": []}, once]) == [
        "docs/clauses-left.toml: 10.1.1 was not in it before; the list may only shrink"
    ]


@pytest.mark.parametrize("text", ["client = 1\n", "client = [1]\n", "[client]\n"])
def test_a_list_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="client must be an array of numbers of clauses"):
        tool.read_left(text)


@pytest.fixture
def project(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a protocol, one test, one clause left, and its table."""
    monkeypatch.setattr(tool, "AT_MOST", MOST)
    for name, text in {
        "schema/PROTOCOL.md": TEXT,
        "docs/clauses-left.toml": 'client = ["10.1.1"]\n',
        str(TEST): '@pytest.mark.clause("5.4.1")\ndef test_it(): ...\n',
    }.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text)
    assert tool.main(["generate"], checkout) == 0
    return checkout


def commit(checkout: Path) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", "add", "."], cwd=checkout, check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "a"], cwd=checkout, check=True)


def test_the_table_leads_from_a_clause_to_its_section_and_from_a_test_to_its_file(
    project: Path,
) -> None:
    table = (project / "docs" / "clauses.md").read_text()

    assert (
        "| [5.4.1](../schema/PROTOCOL.md#54-attach-and-more) | A worker MUST hold a lease. |"
        " [`server/test_worker.py::test_it`](../server/tests/test_worker.py) |" in table
    )
    assert "| A receiver MAY refuse it. | *permits* |" in table
    assert "| Messages MUST be processed in order. | *left to client* |" in table
    assert "| **all** | 3 | 1 | 1 | 1 |" in table


def test_many_cases_of_one_folder_are_one_line_of_the_table(project: Path) -> None:
    folder = project / "conformance-tests" / "cases" / "server" / "frames"
    folder.mkdir(parents=True)
    for number in range(12):
        text = f'case: server/frames/c{number}\nrequires: ["5.4.1"]\n'
        (folder / f"c{number}.yaml").write_text(text)
    assert tool.main(["generate"], project) == 0
    table = (project / "docs" / "clauses.md").read_text()
    assert (
        "[`conformance: server/frames`, 12 cases](../conformance-tests/cases/server/frames)<br>"
        "[`server/test_worker.py::test_it`]" in table
    )
    assert "c7" not in table


def test_a_table_that_is_not_what_the_tests_say_fails_the_check(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main(["check"], project) == 0

    (project / TEST).write_text('@pytest.mark.clause("5.4.1")\ndef test_another(): ...\n')

    assert tool.main(["check"], project) == 1
    assert "docs/clauses.md: not what the tests say" in capsys.readouterr().out
    assert tool.main(["generate"], project) == 0
    assert tool.main(["check"], project) == 0


def test_what_git_remembers_of_the_list_keeps_it_from_growing(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(project)
    assert tool.main(["check"], project) == 0

    (project / TEST).write_text("def test_it(): ...\n")
    (project / "docs" / "clauses-left.toml").write_text('client = ["10.1.1", "5.4.1"]\n')
    monkeypatch.setattr(tool, "AT_MOST", {**MOST, "client": 2})
    assert tool.main(["generate"], project) == 1
    assert "5.4.1 was not in it before" in capsys.readouterr().out

    commit(project)
    assert tool.main(["check"], project) == 1
    assert "5.4.1 was not in it before" in capsys.readouterr().out
