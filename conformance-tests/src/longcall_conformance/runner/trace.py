# SPDX-License-Identifier: Apache-2.0
"""What was seen in one play of a case, and what must hold of every trace, whatever the case.

- a handle has at most one outcome, and nothing after it;
- `seq` as handed to the application is dense and grows, across connections;
- progress grows by (attempt, version);
- an SDK has one socket at a time, but while it moves after `goaway`;
- no token stands in anything that a driver said;
- whoever speaks to the referee keeps to RFC 6455, frame by frame;
- every fault that a proxy was given has happened.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]


@dataclass
class Trace:
    """Events of the driver and frames of the referee, each list in its order."""

    events: list[JsonObject] = field(default_factory=list)
    frames: list[JsonObject] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    """How many driver events there were when a fault was made, by its verb."""
    most_open: int = 0
    unmet: list[str] = field(default_factory=list)
    """Faults that a proxy should have made and has not."""


def violations(trace: Trace, secrets: list[str]) -> list[str]:
    """Everything in the trace that no case allows."""
    found: list[str] = []
    by_handle: dict[str, list[JsonObject]] = defaultdict(list)
    for event in trace.events:
        if "handle" in event:
            by_handle[event["handle"]].append(event)
    taken = _numbers_of_unknown_types(trace)
    for handle, events in by_handle.items():
        found += [f"{handle}: {text}" for text in _handle_violations(events, taken)]
    moved = any(
        frame["what"] == "sent" and frame["message"].get("type") == "goaway"
        for frame in trace.frames
    )
    if trace.most_open > (2 if moved else 1):
        found.append(f"{trace.most_open} sockets of one client were open at a time")
    found += [
        f"{frame['connection']}: the peer sent {frame['message']['text']}"
        for frame in trace.frames
        if frame["what"] == "violation"
    ]
    found += trace.unmet
    said = json.dumps(trace.events)
    if any(secret in said for secret in secrets):
        found.append("a token stands in what the driver said")
    return found


_EVENTS = frozenset(("acknowledgment", "status", "chunk", "complete", "error"))


def _numbers_of_unknown_types(trace: Trace) -> set[int]:
    """Numbers that events of a later version took: an SDK counts them as seen and shows nothing."""
    sent = (frame["message"] for frame in trace.frames if frame["what"] == "sent")
    return {m["seq"] for m in sent if "seq" in m and m.get("type") not in _EVENTS}


def _handle_violations(events: list[JsonObject], taken: set[int]) -> list[str]:
    found: list[str] = []
    last_seq, newest, outcomes, ended = 0, (0, 0), 0, False
    for event in events:
        name = event["ev"]
        if name in ("handle.result", "handle.error"):
            outcomes += 1
        elif name == "handle.end":
            ended = True
        elif name in ("handle.status", "handle.chunk", "handle.progress") and ended:
            found.append(f"{name} after the end of the iteration")
        if name in ("handle.status", "handle.chunk"):
            # A call has no status callback here: its chunks may leave numbers out, never go back.
            if event["seq"] <= last_seq:
                found.append(f"seq {event['seq']} after {last_seq}")
            last_seq = event["seq"]
        if name == "handle.progress":
            if (event["attempt"], event["version"]) <= newest:
                found.append(f"progress {event['attempt']}.{event['version']} is not newer")
            newest = (event["attempt"], event["version"])
    if outcomes > 1:
        found.append(f"{outcomes} outcomes")
    return found + _gaps(events, taken)


def _gaps(events: list[JsonObject], taken: set[int]) -> list[str]:
    """With an iteration from the start, the numbers must be 1, 2, 3, …"""
    numbers = [event["seq"] for event in events if event["ev"] in ("handle.status", "handle.chunk")]
    if any(event["ev"] == "handle.status" for event in events):
        expected = [n for n in range(1, max(numbers) + 1) if n not in taken]
        if numbers != expected:
            return [f"seq {numbers[:20]} instead of 1, 2, 3, …"]
    return []
