# SPDX-License-Identifier: Apache-2.0
"""The Python driver with one defect, as an SDK might have it: what it must be found out by.

    python fault_mutants.py DEFECT

It stands between the runner and the real driver and changes lines; the run does not know of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

Line = dict[str, Any]
Change = Callable[[Line], Iterator[Line]]

DRIVER = Path(__file__).parent.parent / "drivers" / "python" / "driver.py"
TWIN = "twin-"
"""Of handles that the runner has not named."""


def main() -> int:
    """Passes lines on in both directions until the driver ends."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, str(DRIVER)], stdin=pipe, stdout=pipe) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        commands, events = DEFECTS[sys.argv[1]]
        down = sys.stdin.buffer, driver.stdin, commands
        threading.Thread(target=_pass_on, args=down, daemon=True).start()
        _pass_on(driver.stdout, sys.stdout.buffer, _numbered(events))
        return driver.wait()


def _pass_on(source: IO[bytes], sink: IO[bytes], change: Change) -> None:
    for text in source:
        for line in change(json.loads(text)):
            sink.write(json.dumps(line).encode() + b"\n")
        sink.flush()


def _numbered(change: Change) -> Change:
    """Events are numbered anew; what belongs to twins stays away."""
    count = 0

    def numbered(line: Line) -> Iterator[Line]:
        nonlocal count
        for one in change(line):
            if str(one.get("handle", "")).startswith(TWIN) or one.get("re", 0) >= 1_000_000:
                continue
            if "ev" in one:
                count += 1
                one = {**one, "n": count}  # noqa: PLW2901  the line with its number
            yield one

    return numbered


def _nothing(line: Line) -> Iterator[Line]:
    yield line


def _loses_results(line: Line) -> Iterator[Line]:
    if not (line.get("ev") == "handle.result" and line["handle"].endswith("7")):
        yield line


def _doubles_chunks(line: Line) -> Iterator[Line]:
    yield line
    if line.get("ev") == "handle.chunk" and line["handle"].endswith("7"):
        yield line


def _changes_results(line: Line) -> Iterator[Line]:
    if line.get("ev") == "handle.result" and line["handle"].endswith("7"):
        line = {**line, "result": None}
    yield line


def _leaves_out_chunks(line: Line) -> Iterator[Line]:
    if not (line.get("ev") == "handle.chunk" and line["handle"].endswith("7")):
        yield line


def _submits_twice(line: Line) -> Iterator[Line]:
    yield line
    if line["cmd"] == "submit":
        yield {**line, "id": line["id"] + 1_000_000, "handle": f"{TWIN}{line['handle']}"}


def _leaks(line: Line) -> Iterator[Line]:
    yield {**line, "ok": {"leaks": ["task of c1"]}} if "leaks" in line.get("ok", {}) else line


class _NeverCloses:
    """Its clients stay connected, and it says that all is well."""

    def __init__(self) -> None:
        self._answers: dict[int, Line] = {}

    def commands(self, line: Line) -> Iterator[Line]:
        """Has the driver do nothing instead."""
        if line["cmd"] in ("close", "reset"):
            self._answers[line["id"]] = {} if line["cmd"] == "close" else {"leaks": []}
            line = {"id": line["id"], "cmd": "hello"}
        yield line

    def events(self, line: Line) -> Iterator[Line]:
        """Says that it has done it."""
        answer = self._answers.get(line.get("re", 0))
        yield line if answer is None else {**line, "ok": answer}


_NEVER_CLOSES = _NeverCloses()
DEFECTS: dict[str, tuple[Change, Change]] = {
    "none": (_nothing, _nothing),
    "loses-results": (_nothing, _loses_results),
    "doubles-chunks": (_nothing, _doubles_chunks),
    "changes-results": (_nothing, _changes_results),
    "leaves-out-chunks": (_nothing, _leaves_out_chunks),
    "submits-twice": (_submits_twice, _nothing),
    "leaks": (_nothing, _leaks),
    "never-closes": (_NEVER_CLOSES.commands, _NEVER_CLOSES.events),
}

if __name__ == "__main__":
    # The thread that waits for more commands must not keep the interpreter from ending.
    os._exit(main())
