# SPDX-License-Identifier: Apache-2.0
"""`results.json`: everything that is known of a run, and the only source of its reports.

{"version": 2, "complete": true, "suite": "0.1.0", "started_at": "2026-01-01T00:00:00Z",
 "seconds": 61.5, "subjects": {"python": {…what the driver said of itself…}},
 "skipped": ["go: go is not on this machine"],
 "stale": ["known-failing.yaml: entry 1: …"], "results": [{"case": …, "verdict": …}]}
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from .verdict import FAILED, JUDGED, Result, Verdict

VERSION = 2


class ResultsRefused(Exception):
    """The file holds no results of this version."""


@dataclass(frozen=True)
class Results:
    """A run."""

    results: Sequence[Result]
    complete: bool = True
    """Whether every play was played to its end."""
    subjects: Mapping[str, Any] = field(default_factory=dict)
    """What drivers say of themselves, by their names; the server by its own."""
    skipped: Sequence[str] = ()
    stale: Sequence[str] = ()
    """What is wrong with the list of known failures."""
    started_at: float = 0.0
    """In seconds since 1970."""
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed or a stale list, 2 the harness is wrong, 3 incomplete."""
        verdicts = {result.verdict for result in self.results}
        if Verdict.HARNESS_ERROR in verdicts:
            return 2
        if verdicts & FAILED or self.stale:
            return 1
        return 0 if self.complete and verdicts & JUDGED else 3

    @property
    def closing_line(self) -> str:
        """`N passed, N failed`, as test runners close, and what else there was."""
        counts = Counter(result.verdict for result in self.results)
        passed = counts[Verdict.PASS] + counts[Verdict.ALTERNATIVE]
        failed = sum(counts[verdict] for verdict in FAILED) + counts[Verdict.HARNESS_ERROR]
        told = [f"{passed} passed", f"{failed} failed"]
        others = (Verdict.WARN, Verdict.KNOWN_FAIL, Verdict.NOT_APPLICABLE)
        told += [f"{counts[verdict]} {verdict}" for verdict in others if counts[verdict]]
        if self.stale:
            told.append(f"{len(self.stale)} stale")
        return ", ".join(told if self.complete else [*told, "incomplete"])

    def write(self, path: Path) -> None:
        """Writes the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {
            "version": VERSION,
            "complete": self.complete,
            "suite": __version__,
            "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started_at)),
            "seconds": round(self.seconds, 1),
            "subjects": dict(self.subjects),
            "skipped": list(self.skipped),
            "stale": list(self.stale),
            "results": [asdict(result) for result in self.results],
        }
        path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")

    @classmethod
    def read(cls, path: Path) -> Results:
        """Reads the file; raises `ResultsRefused` for anything else."""
        try:
            document = json.loads(path.read_text("utf-8"))
            if document["version"] != VERSION:
                raise ResultsRefused(f"{path}: version {document['version']}, not {VERSION}")
            results = [_result(item) for item in document["results"]]
            return cls(
                results=results,
                complete=document["complete"],
                subjects=document["subjects"],
                skipped=document["skipped"],
                stale=document["stale"],
                seconds=document["seconds"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ResultsRefused(f"{path}: not results of a run: {error!r}") from None


def _result(item: dict[str, Any]) -> Result:
    lists = {name: tuple(item[name]) for name in ("requires", "findings")}
    return Result(**{**item, **lists, "verdict": Verdict(item["verdict"])})
