# SPDX-License-Identifier: Apache-2.0
"""`known-failing.yaml`: what is known to fail, why, and until when that is tolerated.

    - case: client/resume/drop-mid-stream[drop=fin]   # a label; * and ? stand for any text
      subject: js                                     # a driver, or the server by its name
      reason: "It attaches before the welcome; to be mended with the new transport."
      expires: 2026-12-31

Entries still run. One that passes, that names nothing, or that has expired makes the run red.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .case import load_yaml
from .lint import CaseRefused
from .verdict import FAILED, Result, Verdict


@dataclass(frozen=True)
class Entry:
    """One known failure."""

    number: int
    case: str
    subject: str
    reason: str
    expires: datetime.date

    def names(self, label: str, subject: str) -> bool:
        """Whether a play is the one that it means."""
        return _fits(self.case, label) and _fits(self.subject, subject)


class Baseline:
    """The list; a missing file is an empty one."""

    def __init__(self, path: Path, entries: Sequence[Entry] = ()) -> None:
        self._path = path
        self._entries = entries

    @classmethod
    def load(cls, path: Path) -> Baseline:
        """Reads the list; raises `CaseRefused` for the first entry that is none."""
        document = load_yaml(path) if path.exists() else []
        if not isinstance(document, list):
            raise CaseRefused(f"{path}: a list of entries is needed")
        return cls(path, [_entry(path, n, item) for n, item in enumerate(document, 1)])

    def apply(self, results: Iterable[Result]) -> list[Result]:
        """The results, with failures that are known as such."""
        return [self._known(result) for result in results]

    def _known(self, result: Result) -> Result:
        if result.verdict not in FAILED:
            return result
        for entry in self._entries:
            if entry.names(result.label, result.subject):
                return replace(result, verdict=Verdict.KNOWN_FAIL, reason=entry.reason)
        return result

    def stale(
        self, plays: Iterable[tuple[str, str]], results: Sequence[Result], today: datetime.date
    ) -> list[str]:
        """What is wrong with the list. `plays` are all that there are: label and subject of each;
        `results` are those of this run, which may be some of them."""
        every = list(plays)
        return [
            f"{self._path.name}: entry {entry.number} ({entry.case} of {entry.subject}) {problem}"
            for entry in self._entries
            for problem in _problems(entry, every, results, today)
        ]


def _problems(
    entry: Entry,
    plays: Sequence[tuple[str, str]],
    results: Sequence[Result],
    today: datetime.date,
) -> Iterable[str]:
    if entry.expires < today:
        yield f"expired on {entry.expires}: {entry.reason}"
    # A run without its subject says nothing of an entry; with it, one of its plays must be named.
    own = [label for label, subject in plays if _fits(entry.subject, subject)]
    if own and not any(_fits(entry.case, label) for label in own):
        yield "names no play"
        return
    for result in results:
        if entry.names(result.label, result.subject) and result.verdict in (
            Verdict.PASS,
            Verdict.ALTERNATIVE,
        ):
            yield f"passes now ({result.label}): take it off"


def _entry(path: Path, number: int, item: Any) -> Entry:
    wanted = {"case", "subject", "reason", "expires"}
    if not isinstance(item, dict) or set(item) != wanted:
        raise CaseRefused(f"{path}: entry {number}: has case, subject, reason and expires")
    if not all(isinstance(value, str) for value in item.values()) or len(item["reason"]) < 10:
        raise CaseRefused(f"{path}: entry {number}: all are texts, and the reason is in words")
    try:
        expires = datetime.date.fromisoformat(item["expires"])
    except ValueError:
        raise CaseRefused(f"{path}: entry {number}: expires is a date, 2026-12-31") from None
    return Entry(number, item["case"], item["subject"], item["reason"], expires)


def _fits(pattern: str, text: str) -> bool:
    """`*` and `?` only: labels have brackets, which `fnmatch` takes for its own."""
    escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(escaped, text, re.DOTALL) is not None
