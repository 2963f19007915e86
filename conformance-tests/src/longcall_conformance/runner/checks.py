# SPDX-License-Identifier: Apache-2.0
"""What `then` says: each check looks at the trace of a play and says what is wrong, if anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from operator import gt, lt
from typing import Any

from .matching import matches, select
from .play import Play
from .report_figures import compare_report
from .vocabulary import BOUNDS, DEMANDS

JsonObject = dict[str, Any]


def run_check(play: Play, check: JsonObject) -> str | None:
    """Returns what is wrong, None when the check holds."""
    kind = next(key for key in check if key != "check")
    return _KINDS[kind](play, play.resolve(check[kind]))


def _events(play: Play, wanted: JsonObject) -> str | None:
    start = 0
    if "after" in wanted:
        if wanted["after"] not in play.trace.marks:
            return f"{wanted['after']} never happened"
        start = play.trace.marks[wanted["after"]]
    found = [
        event
        for event in play.trace.events[start:]
        if event["ev"] == wanted["ev"]
        and all(event.get(name) == wanted[name] for name in ("handle", "client") if name in wanted)
        and matches(event, wanted.get("match", {}))
    ]
    return _compare(found, wanted)


def _frames(play: Play, wanted: JsonObject) -> str | None:
    name = play.connection_name(wanted["on"]) if "on" in wanted else None
    found = [
        frame["message"]
        for frame in play.trace.frames
        if frame["what"] == "received"
        and frame["message"].get("type") == wanted["type"]
        and (name is None or frame["connection"] == name)
        and matches(frame["message"], wanted.get("match", {}))
    ]
    return _compare(found, wanted)


def _compare(found: list[JsonObject], wanted: JsonObject) -> str | None:
    if "count" in wanted and len(found) != wanted["count"]:
        return f"{len(found)} of them, not {wanted['count']}: {json.dumps(found)[:300]}"
    if "at_least" in wanted and len(found) < wanted["at_least"]:
        return f"{len(found)} of them, not at least {wanted['at_least']}"
    if "equals" in wanted or set(BOUNDS) & set(wanted):
        path = wanted.get("select", "$")
        try:
            values = [select(item, path) for item in found]
        except (KeyError, IndexError):
            return f"{path} is not in each of them: {json.dumps(found)[:400]}"
        if "equals" in wanted and not matches(values, wanted["equals"]):
            return f"{json.dumps(values)[:400]} instead of {json.dumps(wanted['equals'])[:400]}"
        return _out_of_bounds(values, wanted)
    if not set(DEMANDS) & set(wanted):
        return "the check asks for nothing"
    return None


def _out_of_bounds(values: list[float], wanted: JsonObject) -> str | None:
    for name, is_wrong in (("each_at_most", gt), ("each_at_least", lt)):
        if name not in wanted:
            continue
        bounds = wanted[name]
        if len(bounds) != len(values):
            return f"{len(values)} of them, not {len(bounds)}: {json.dumps(values)[:400]}"
        for number, (value, bound) in enumerate(zip(values, bounds, strict=True), 1):
            if is_wrong(value, bound):
                return f"number {number} is {value}, with {name.replace('_', ' ')} {bound}"
    if "some_over" in wanted and not any(value > wanted["some_over"] for value in values):
        return f"none is over {wanted['some_over']}: {json.dumps(values)[:400]}"
    return None


def _connections(play: Play, wanted: JsonObject) -> str | None:
    if play.peer is None:
        return "there is no scripted server in this case"
    seen = {
        "open": play.peer.open_count,
        "most_open": play.peer.most_open,
        "total": len(play.peer.connections),
    }
    for name, number in wanted.items():
        if seen[name] != number:
            return f"{name} is {seen[name]}, not {number}"
    return None


def _crossed(play: Play, wanted: JsonObject) -> str | None:
    numbered = f"{wanted['on']}.{wanted['connection']}" if "connection" in wanted else None
    found = [
        frame["message"]
        for frame in play.trace.frames
        if frame["what"] == wanted["direction"]
        and frame["connection"].rpartition(".")[0] == wanted["on"]
        and numbered in (None, frame["connection"])
        and frame["message"].get("type") == wanted["type"]
        and matches(frame["message"], wanted.get("match", {}))
    ]
    return _compare(found, wanted)


def _proxied(play: Play, wanted: JsonObject) -> str | None:
    proxy = play.proxy(wanted["on"])
    seen = {"open": proxy.open_count, "total": proxy.connections}
    for name in ("open", "total"):
        if name in wanted and seen[name] != wanted[name]:
            return f"{name} is {seen[name]}, not {wanted[name]}"
    return None


def _report(play: Play, wanted: JsonObject) -> str | None:
    if play.server is None:
        return "there is no server under test in this case"
    handle = wanted["handle"]
    rows: list[JsonObject] = []
    result: JsonObject | None = None
    for event in play.trace.events:
        if event.get("handle") == handle and event["ev"] == "handle.chunk":
            rows.extend(event["data"])
        if event.get("handle") == handle and event["ev"] == "handle.result":
            result = event["result"]
    if result is None:
        return "there is no result"
    path = play.server.fixture(wanted["fixture"])
    return compare_report(path, wanted["group_by"], rows, result)


_KINDS: dict[str, Callable[[Play, JsonObject], str | None]] = {
    "events": _events,
    "frames": _frames,
    "connections": _connections,
    "crossed": _crossed,
    "proxied": _proxied,
    "report": _report,
}
