# SPDX-License-Identifier: Apache-2.0
"""What a client saw, written down by the client itself: one append-only file of JSON lines each.

Every line has `n` (1, 2, 3, … in its file), `at` (seconds since 1970) and `what`; most have
`request_id`, the lines of one look at a log also `reading`, a name that is used once in the file.

| `what`         | what it means, and its further members                                       |
|----------------|------------------------------------------------------------------------------|
| `submit`       | the application asks: `action`, `payload`, `expect`; written before it is sent |
| `acknowledged` | the server has stored it                                                     |
| `read`         | a reading begins: its first event has `seq` 1; `sparse?`: it is shown chunks |
|                | and progress alone                                                           |
| `status`       | an event: `seq`, `status`, `attempt`, `chunks_kept_to`, `error?`, `retry_at?` |
| `chunk`        | an event: `seq`, `attempt`, `data`                                           |
| `progress`     | `attempt`, `version`, `percentage?`                                          |
| `end`          | the terminal event of a reading; `seq` where the client was shown it         |
| `result`       | the outcome that a handle gave: `result`; `handle` names the handle          |
| `error`        | the outcome that a handle gave: `code`, `details?`; `handle`                 |
| `cancel`       | somebody asks to cancel it: `reason`                                         |
| `file`         | a file of it was fetched: `name`, `size`, `sha256`                           |
| `trouble`      | anything else that was raised to the application: `text`                     |
| `closed`       | the last line: every handle of this client has ended, or was given up        |

`expect` is what the client demands, computed from the payload alone: `result` and `chunks` of a
completion (without `result` it must not complete), `percentage` of its last progress, `files`
(name → SHA-256), and `codes`, the errors that are as good.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

JsonObject = dict[str, Any]

KINDS = frozenset(
    (
        *("submit", "acknowledged", "read", "status", "chunk", "progress", "end"),
        *("result", "error", "cancel", "file", "trouble", "closed"),
    )
)


class MalformedObservations(Exception):
    """A file is not what a client wrote: the text says where and why."""


class ObservationFile:
    """Writes one client's file; what `note` was told is with the kernel when it returns."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("x", encoding="utf-8")
        self._n = 0

    def note(self, what: str, request_id: str | None = None, **members: Any) -> None:
        """Appends a line; members that are None stay away, but for a result and a chunk's data."""
        assert what in KINDS, what
        self._n += 1
        line: JsonObject = {"n": self._n, "at": round(time.time(), 3), "what": what}
        if request_id is not None:
            line["request_id"] = request_id
        line.update(
            (name, value)
            for name, value in members.items()
            if value is not None or name in ("result", "data", "payload")
        )
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Writes the last line."""
        self.note("closed")
        self._file.close()


def read_observations(path: Path) -> Iterator[JsonObject]:
    """The lines of a file; raises `MalformedObservations` at the first that is none."""
    with path.open(encoding="utf-8") as lines:
        for number, text in enumerate(lines, 1):
            try:
                line = json.loads(text)
            except ValueError as error:
                raise MalformedObservations(f"{path.name}:{number}: not JSON: {error}") from None
            if not isinstance(line, dict) or line.get("what") not in KINDS:
                raise MalformedObservations(f"{path.name}:{number}: no observation: {text[:80]!r}")
            if line.get("n") != number:
                raise MalformedObservations(f"{path.name}:{number}: numbered {line.get('n')!r}")
            yield line
