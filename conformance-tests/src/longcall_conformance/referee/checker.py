# SPDX-License-Identifier: Apache-2.0
"""Judges what clients wrote down (see `observations`): nothing lost, twice, or out of order.

It reads their files and nothing else. It imports neither an SDK nor a server, and holds of any run
of any clients against any server: kills, restarts and lost connections excuse nothing.

    report = check(Path("out").glob("*.jsonl"))
    report.findings, report.counts
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from .observations import JsonObject, MalformedObservations, read_observations
from .readings import Reading


class Kind(StrEnum):
    """What can be wrong."""

    MALFORMED = "malformed"
    """A file is no list of observations, or its client did not come to its end."""
    UNKNOWN = "unknown"
    """Something was seen of a request that nobody submitted, or that two submitted."""
    LOST = "lost"
    """It was acknowledged, and never ended."""
    UNANSWERED = "unanswered"
    """It was submitted, and neither acknowledged nor ended."""
    UNFINISHED = "unfinished"
    """A reading of a request that ended did not end."""
    TWICE = "twice"
    """An event came again, or a handle ended a second time."""
    GAP = "gap"
    """Numbers are missing between two events."""
    ORDER = "order"
    """An event came behind a later one, progress went back, or something followed the end."""
    ATTEMPT = "attempt"
    """An attempt that is not the current one, or a hole in the attempts."""
    VOID = "void"
    """`chunks_kept_to` says what cannot be."""
    DIFFERENT = "different"
    """Two readings, or two handles, were told different things of one request."""
    RESULT = "result"
    """The result is not the one that the payload demands."""
    CHUNKS = "chunks"
    """The chunks that stand are not the ones that the payload demands."""
    PROGRESS = "progress"
    """The last progress before the end did not come."""
    FILE = "file"
    """A file is not the one that the payload demands, or was not fetched."""
    ERROR = "error"
    """An error that the application should not have seen."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must not be."""

    kind: Kind
    request_id: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.request_id or '-'}: {self.text}"


@dataclass(frozen=True)
class Report:
    """Everything that is wrong, and how much was looked at."""

    findings: tuple[Finding, ...]
    counts: Counter[str]
    """`requests`, `acknowledged`, `completed`, `error CODE`, `readings`, `events`, `chunks`,
    `voided` (chunks that no longer stand), `files`, `cancels`, `retrying CODE`."""


@dataclass
class _Request:
    """One request in all files."""

    submits: list[JsonObject] = field(default_factory=list)
    acknowledged: bool = False
    cancels: int = 0
    outcomes: dict[str, list[JsonObject]] = field(default_factory=lambda: defaultdict(list))
    """By handle."""
    readings: dict[str, Reading] = field(default_factory=dict)
    files: list[JsonObject] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


class _Check:
    """One run of the checker."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.counts: Counter[str] = Counter()
        self.requests: dict[str, _Request] = defaultdict(_Request)

    def find(self, kind: Kind, request_id: str | None, text: str) -> None:
        self.findings.append(Finding(kind, request_id, text))

    # --- Reading ----------------------------------------------------------------------------------

    def take(self, path: Path) -> None:
        """Reads one client's file."""
        last: JsonObject = {}
        try:
            for line in read_observations(path):
                if last.get("what") == "closed":
                    self.find(Kind.MALFORMED, None, f"{path.name} goes on after its last line")
                last = line
                self._take_line(path.name, line)
        except (MalformedObservations, OSError, UnicodeDecodeError) as error:
            self.find(Kind.MALFORMED, None, str(error))
            return
        except (KeyError, TypeError) as error:
            text = f"{path.name}:{last.get('n')}: a member is missing or wrong: {error!r}"
            self.find(Kind.MALFORMED, None, text)
            return
        if last.get("what") != "closed":
            self.find(Kind.MALFORMED, None, f"{path.name} has no last line: its client broke off")

    def _take_line(self, source: str, line: JsonObject) -> None:
        what = line["what"]
        if what == "closed":
            return
        if what == "trouble":
            self.find(Kind.ERROR, line.get("request_id"), f"raised in {source}: {line['text']}")
            return
        request = self.requests[line["request_id"]]
        match what:
            case "submit":
                request.submits.append(line)
            case "acknowledged":
                request.acknowledged = True
            case "cancel":
                request.cancels += 1
            case "file":
                request.files.append(line)
            case "result" | "error":
                request.outcomes[f"{source} {line['handle']}"].append(line)
            case "read":
                sparse = line.get("sparse", False)
                request.readings[f"{source} {line['reading']}"] = Reading(sparse=sparse)
            case _:
                request.readings[f"{source} {line['reading']}"].take(line)

    # --- Judging ----------------------------------------------------------------------------------

    def judge(self) -> Report:
        """Says what is wrong with what was taken."""
        for request_id, request in self.requests.items():
            if len(request.submits) != 1:
                text = f"submitted {len(request.submits)} times in these files"
                self.find(Kind.UNKNOWN, request_id, text)
            self._count(request)
            self._judge_readings(request_id, request)
            if request.submits:
                self._judge_outcome(request_id, request)
        return Report(tuple(self.findings), self.counts)

    def _count(self, request: _Request) -> None:
        self.counts["requests"] += len(request.submits)
        self.counts["acknowledged"] += request.acknowledged
        self.counts["cancels"] += request.cancels
        self.counts["files"] += len(request.files)
        self.counts["readings"] += len(request.readings)
        # The log is one, however many read it: what happened is counted once.
        longest = max(request.readings.values(), key=lambda one: one.last_seq, default=Reading())
        self.counts["voided"] += longest.voided
        for seq, event in longest.log.items():
            self.counts["events"] += 1
            self.counts["chunks"] += event["what"] == "chunk"
            if event.get("status") == "retrying":
                self.counts[f"retrying {(event.get('error') or {}).get('code')}"] += 1
            assert seq == event["seq"]
        for outcome in (lines[0] for lines in request.outcomes.values()):
            name = "completed" if outcome["what"] == "result" else f"error {outcome['code']}"
            self.counts[name] += 1
            break

    def _judge_readings(self, request_id: str, request: _Request) -> None:
        log: dict[int, JsonObject] = {}
        for name, reading in request.readings.items():
            for kind, text in reading.findings:
                self.find(Kind(kind), request_id, f"{name}: {text}")
            if request.outcomes and not reading.ended:
                self.find(Kind.UNFINISHED, request_id, f"{name} stopped at {reading.last_seq}")
            for seq, event in reading.log.items():
                if log.setdefault(seq, event) != event:
                    text = f"{name}: event {seq} is {event}, elsewhere it is {log[seq]}"
                    self.find(Kind.DIFFERENT, request_id, text)

    def _judge_outcome(self, request_id: str, request: _Request) -> None:
        submit = request.submits[0]
        expect = submit["expect"]
        for handle, lines in request.outcomes.items():
            if len(lines) > 1:
                self.find(Kind.TWICE, request_id, f"{handle} ended {len(lines)} times")
        outcomes = [line for lines in request.outcomes.values() for line in lines]
        if not outcomes:
            kind = Kind.LOST if request.acknowledged else Kind.UNANSWERED
            self.find(kind, request_id, f"{submit['action']} of {submit['at']} never ended")
            return
        told = [_told(line) for line in outcomes]
        if any(one != told[0] for one in told):
            self.find(Kind.DIFFERENT, request_id, f"handles were told different ends: {told}")
        if outcomes[0]["what"] == "error":
            self._judge_error(request_id, request, outcomes[0], expect)
        else:
            self._judge_completion(request_id, request, outcomes[0]["result"], expect)

    def _judge_error(
        self, request_id: str, request: _Request, line: JsonObject, expect: JsonObject
    ) -> None:
        code = line["code"]
        if code not in expect.get("codes", ()):
            self.find(Kind.ERROR, request_id, f"ended with {code}: {line.get('details')}")
        elif code == "CANCELLED" and not request.cancels:
            self.find(Kind.ERROR, request_id, "ended with CANCELLED, and nobody had asked for it")

    def _judge_completion(
        self, request_id: str, request: _Request, result: Any, expect: JsonObject
    ) -> None:
        if "result" not in expect or not same(result, expect["result"]):
            wanted = expect.get("result", "no result")
            self.find(Kind.RESULT, request_id, f"{result!r} instead of {wanted!r}")
        ended = [(name, one) for name, one in request.readings.items() if one.ended]
        for name, reading in ended:
            chunks = [chunk["data"] for chunk in reading.standing]
            if not same(chunks, expect.get("chunks", [])):
                text = f"{name}: {len(chunks)} chunks stand: {_difference(chunks, expect)}"
                self.find(Kind.CHUNKS, request_id, text)
            if "percentage" in expect and reading.percentage != expect["percentage"]:
                text = f"{name}: {reading.percentage} instead of {expect['percentage']}"
                self.find(Kind.PROGRESS, request_id, text)
        self._judge_files(request_id, request, expect.get("files", {}))

    def _judge_files(self, request_id: str, request: _Request, wanted: dict[str, str]) -> None:
        fetched = {line["name"]: line["sha256"] for line in request.files}
        for name in sorted(wanted.keys() | fetched.keys()):
            if fetched.get(name) != wanted.get(name):
                text = f"{name} has {fetched.get(name)} instead of {wanted.get(name)}"
                self.find(Kind.FILE, request_id, text)


def check(paths: Iterable[Path]) -> Report:
    """Judges the files of all clients of a run."""
    run = _Check()
    for path in sorted(paths):
        run.take(path)
    return run.judge()


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 is 1.0 and is not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _told(line: JsonObject) -> tuple[str, Any]:
    return line["what"], line["result"] if line["what"] == "result" else line["code"]


def _difference(chunks: list[Any], expect: JsonObject) -> str:
    wanted = expect.get("chunks", [])
    for number, pair in enumerate(zip(chunks, wanted, strict=False)):
        if not same(*pair):
            return f"number {number} is {str(pair[0])[:80]} instead of {str(pair[1])[:80]}"
    return f"{len(wanted)} were due"
