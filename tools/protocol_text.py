# SPDX-License-Identifier: Apache-2.0
"""The numbered statements of schema/PROTOCOL.md."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

STATEMENT = re.compile(r"\*\*(\d+\.\d+\.\d+)\*\* (.+)")
HEADING = re.compile(r"(##|###) (\d+(?:\.\d+)?)\.? (.+)")


@dataclass(frozen=True)
class Clause:
    """One numbered statement, under its heading (`section`) and its chapter's."""

    number: str
    words: str
    section: str
    chapter: str

    @property
    def permits(self) -> bool:
        """Whether it only permits: then there is nothing that could be broken."""
        return bool(re.search(r"\bMAY\b", self.words))


def clauses(text: str) -> Iterator[Clause]:
    """The numbered statements of the protocol in their order."""
    chapter = section = ""
    for line in text.splitlines():
        if heading := HEADING.fullmatch(line):
            section = line.lstrip("# ")
            chapter = section if heading[1] == "##" else chapter
        elif statement := STATEMENT.fullmatch(line):
            yield Clause(statement[1], statement[2], section, chapter)
