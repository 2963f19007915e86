# SPDX-License-Identifier: Apache-2.0
"""What a run was, and what is demanded of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..referee.checker import Report, check
from ..referee.verdicts import Verdicts
from .plan import DEMANDED_EVERY
from .workload import Asked

JsonObject = dict[str, Any]


@dataclass
class Outcome:
    """Everything that was seen of one driver's run."""

    files: Sequence[Path]
    """What its clients saw."""
    asked: Mapping[str, Asked] = field(default_factory=dict)
    wanted: int = 0
    """How many requests there were to be."""
    kinds: Sequence[str] = ()
    """The faults that must all have been made."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """How often the server began each of those that count."""
    attempts: Mapping[str, int] = field(default_factory=dict)
    """The newest attempt of each request that the driver told of."""
    ids: Mapping[str, Sequence[str]] = field(default_factory=dict)
    proxy: JsonObject = field(default_factory=dict)
    """The fault proxy's report."""
    leaks: Sequence[str] = ()
    """What the driver itself says that it left behind."""
    still_open: int = 0
    """Sockets at the proxy after all of that."""
    failure: str | None = None
    """Why the driver, or the server, broke off."""
    gave_up: bool = False
    server_log: str = ""
    warnings: Sequence[str] = ()
    lost_connections: int = 0
    seconds: float = 0.0


def judge(outcome: Outcome) -> tuple[Verdicts, Report]:
    """Everything that is wrong with a run, by what was demanded; and what was looked at."""
    report = check(outcome.files)
    verdicts = Verdicts()
    verdicts.require("run", _broken_off(outcome))
    verdicts.require("observations", [str(finding) for finding in report.findings])
    verdicts.require("executions", _executions(outcome))
    verdicts.require("ids", _ids(outcome))
    verdicts.require("faults", _faults(outcome))
    verdicts.require("left behind", [*outcome.leaks, *_sockets(outcome)])
    verdicts.require("server log", _defects(outcome.server_log))
    return verdicts, report


def _broken_off(outcome: Outcome) -> list[str]:
    found = [] if outcome.failure is None else [outcome.failure]
    if outcome.gave_up:
        found.append("nothing came any more, and requests were open")
    if len(outcome.asked) < outcome.wanted:
        found.append(f"{len(outcome.asked)} of {outcome.wanted} requests were asked for")
    return found


def _executions(outcome: Outcome) -> list[str]:
    """What is stored runs once for each attempt, whatever became of the messages about it."""
    found = []
    for name, asked in outcome.asked.items():
        if asked.executions is None:
            continue
        count, wanted = outcome.counters.get(name, 0), asked.executions
        told = f"{name} ({asked.action}) ran {count} times"
        if count == 0 and "codes" in asked.expect and asked.cancel_at is not None:
            continue  # it ended before it began
        if not asked.is_durable:
            # A quick one whose answer was lost is asked for again (PROTOCOL 10.6).
            if count < 1:
                found.append(f"{told}, and ended")
        elif outcome.attempts.get(name, 0) > wanted:
            # The server tried it again, for reasons of its own, and said so.
            if count > outcome.attempts[name]:
                found.append(f"{told} in {outcome.attempts[name]} attempts")
        elif count != wanted:
            found.append(f"{told}, not {wanted}")
    return found


def _ids(outcome: Outcome) -> list[str]:
    return [
        f"{' and '.join(names)} were acknowledged under one id, {request_id}"
        for request_id, names in outcome.ids.items()
        if len(names) > 1
    ]


def _faults(outcome: Outcome) -> list[str]:
    kinds: Mapping[str, int] = outcome.proxy.get("kinds", {})
    found = [f"{kind} never fired" for kind in outcome.kinds if not kinds.get(kind)]
    made, demanded = sum(kinds.values()), len(outcome.asked) // DEMANDED_EVERY
    if made < demanded:
        found.append(f"{made} faults for {len(outcome.asked)} requests, not {demanded}")
    return found


def _sockets(outcome: Outcome) -> list[str]:
    return [f"{outcome.still_open} sockets are open"] if outcome.still_open else []


def _defects(log: str) -> list[str]:
    return [line for line in log.splitlines() if " ERROR " in line or line.startswith("Traceback")]
