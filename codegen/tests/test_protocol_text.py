# SPDX-License-Identifier: Apache-2.0
"""PROTOCOL.md keeps the form that its section 1.3 promises, and its dialogues are messages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from reference_reader import ReferenceReader, Refused

SCHEMA: Final = Path(__file__).resolve().parents[2] / "schema"
TEXT: Final = (SCHEMA / "PROTOCOL.md").read_text(encoding="utf-8")
BUNDLE: Final = json.loads((SCHEMA / "bundle.json").read_text(encoding="utf-8"))

KEY_WORDS: Final = re.compile(r"\b(?:MUST NOT|MUST|SHOULD NOT|SHOULD|MAY)\b")
ALL_KEY_WORDS: Final = re.compile(
    r"\b(?:MUST|SHOULD|MAY|SHALL|REQUIRED|RECOMMENDED|OPTIONAL)(?: NOT)?\b"
)
STATEMENT: Final = re.compile(r"\*\*(\d+)\.(\d+)\.(\d+)\*\* (.+)")
HEADING: Final = re.compile(r"^(##|###) (\d+)(?:\.(\d+))?\.? .+$", re.MULTILINE)
DIALOGUES: Final = re.findall(r"^```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
LINE: Final = re.compile(r" ?(\d+)\. (?:([CSD])\d? → ([CSD])\d? (\{.*\})|— .+ —)")


@dataclass(frozen=True)
class Statement:
    chapter: int
    section: int
    number: int
    words: str

    def __str__(self) -> str:
        return f"{self.chapter}.{self.section}.{self.number}"


def _prose() -> list[str]:
    """The paragraphs outside of fenced blocks."""
    return re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL).split("\n\n")


def _statements() -> Iterator[Statement]:
    for paragraph in _prose():
        match = STATEMENT.fullmatch(paragraph.strip())
        if match:
            chapter, section, number, words = match.groups()
            yield Statement(int(chapter), int(section), int(number), words)


STATEMENTS: Final = list(_statements())
SECTIONS: Final = [
    (int(chapter), int(section)) for _, chapter, section in HEADING.findall(TEXT) if section
]


def test_every_number_in_bold_begins_a_statement_that_is_a_paragraph_of_one_line() -> None:
    assert len(re.findall(r"\*\*\d+\.\d+\.\d+\*\*", TEXT)) == len(STATEMENTS) > 400


def test_numbers_are_dense_and_stand_under_their_heading() -> None:
    numbers: dict[tuple[int, int], list[int]] = {}
    for statement in STATEMENTS:
        numbers.setdefault((statement.chapter, statement.section), []).append(statement.number)
    for section, found in numbers.items():
        assert found == list(range(1, len(found) + 1)), section
    assert set(numbers) <= set(SECTIONS)
    for match in re.finditer(r"^### (\d+\.\d+) .*?(?=^##)", TEXT + "\n##", re.M | re.S):
        own = re.findall(r"^\*\*(\d+\.\d+)\.\d+\*\*", match[0], re.M)
        assert set(own) <= {match[1]}


def test_chapters_and_sections_are_dense() -> None:
    chapters = [int(chapter) for level, chapter, _ in HEADING.findall(TEXT) if level == "##"]
    assert chapters == list(range(1, len(chapters) + 1))
    for chapter in chapters:
        sections = [section for owner, section in SECTIONS if owner == chapter]
        assert sections == list(range(1, len(sections) + 1)), chapter


def test_all_fifty_rules_of_the_races_are_there() -> None:
    rules = {statement.section for statement in STATEMENTS if statement.chapter == 10}
    assert rules == set(range(1, 51))


@pytest.mark.parametrize("statement", STATEMENTS, ids=str)
def test_a_statement_has_one_key_word_and_is_one_sentence(statement: Statement) -> None:
    assert len(KEY_WORDS.findall(statement.words)) == 1
    assert len(ALL_KEY_WORDS.findall(statement.words)) == 1
    assert statement.words.endswith(".")


def test_no_key_word_stands_outside_of_a_statement() -> None:
    others = [
        paragraph
        for paragraph in _prose()
        if ALL_KEY_WORDS.search(paragraph) and not STATEMENT.fullmatch(paragraph.strip())
    ]
    assert len(others) == 1
    assert "BCP 14" in others[0]


def test_what_the_text_refers_to_exists() -> None:
    known = {str(statement) for statement in STATEMENTS}
    known |= {f"{chapter}.{section}" for chapter, section in SECTIONS}
    prose = re.sub(r"`[^`]*`|https?://\S+", "", "\n\n".join(_prose()))
    # "see 6.8", "(10.30)", "(9.4.3, 10.5)": a number of two or three parts that is no quantity.
    referred = re.findall(r"(?<![\d.])(\d{1,2}(?:\.\d{1,2}){1,2})(?![\d.]*\d)(?! (?:s|%))", prose)
    quantities = {"0.5"}
    assert len(referred) > 100
    assert sorted(set(referred) - known - quantities) == []


def test_what_the_schema_cites_exists() -> None:
    known = {str(statement) for statement in STATEMENTS}
    known |= {f"{chapter}.{section}" for chapter, section in SECTIONS}
    known |= {str(chapter) for chapter, _ in SECTIONS}
    cited = re.findall(r"PROTOCOL ([\d.]+\d|\d)((?:, [\d.]*\d)*)", json.dumps(BUNDLE))
    numbers = {number for first, more in cited for number in (first, *more.split(", ")[1:])}
    assert numbers
    assert sorted(numbers - known) == []


@pytest.mark.clause("2.4.2")
def test_a_duration_is_an_integer_of_milliseconds_and_its_name_says_so() -> None:
    fields = [
        (name, field, BUNDLE["$defs"].get(str(field.get("$ref")).rpartition("/")[2], field))
        for definition in BUNDLE["$defs"].values()
        for name, field in definition.get("properties", {}).items()
    ]
    durations = [name for name, field, _ in fields if "millisecond" in field.get("description", "")]
    assert len(durations) > 3
    assert [name for name in durations if not name.endswith("_ms")] == []
    timed = [(name, form["type"]) for name, _, form in fields if name.endswith("_ms")]
    assert {form for _, form in timed} == {"integer"}


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda text: f"from {text[:40].strip()}")
def test_a_dialogue_is_numbered_messages_and_remarks(dialogue: str) -> None:
    lines = [LINE.fullmatch(line) for line in dialogue.splitlines()]
    assert all(lines), dialogue
    first = int(lines[0][1]) if lines[0] else 0
    assert [int(line[1]) for line in lines if line] == list(range(first, first + len(lines)))


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda text: f"from {text[:40].strip()}")
def test_messages_of_a_dialogue_are_valid_or_refused_as_the_next_line_says(dialogue: str) -> None:
    reader = ReferenceReader(BUNDLE)
    matches = [match for line in dialogue.splitlines() if (match := LINE.fullmatch(line))]
    messages = [(match[2], match[4]) for match in matches if match[4]]
    assert messages
    for index, (sender, text) in enumerate(messages):
        refusal = _refusal(reader, text, "server" if sender == "S" else "client")
        if refusal is not None:
            assert sender != "S", text
            answer = json.loads(messages[index + 1][1])["error"]
            assert refusal == (answer["code"], answer.get("details", {}).get("pointer"))


def _refusal(reader: ReferenceReader, text: str, direction: str) -> tuple[str, str | None] | None:
    try:
        reader.read(text, direction)
    except Refused as refused:
        return refused.code, refused.pointer
    return None
