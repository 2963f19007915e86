# SPDX-License-Identifier: Apache-2.0
"""A context that records, and a source folder; the handlers run as they are."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from longcall_demo.report.handler import generate_report
from longcall_demo.report.params import Report, ReportParams
from longcall_server import JsonValue, RequestCancelled, SyncRequestContext


class Killed(BaseException):
    """The process is gone: nothing of this attempt goes on."""


class Recorder:
    """What a handler does with a SyncRequestContext, kept."""

    def __init__(self, folder: Path, checkpoint: JsonValue = None) -> None:
        self.checkpoint = checkpoint
        self.chunks: list[Any] = []
        self.checkpoints: list[JsonValue] = []
        self.percentages: list[float] = []
        self.messages: list[str] = []
        self.files: dict[str, bytes] = {}
        self.looks_at_cancelled = 0
        self.kill_after: int | None = None
        self.cancel_when: Callable[[Recorder], bool] = lambda recorder: False
        self._folder = folder

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Those of chunks that are lists of rows."""
        return [row for chunk in self.chunks for row in chunk]

    @property
    def content(self) -> bytes:
        """Of the one file."""
        [content] = self.files.values()
        return content

    def progress(self, percentage: float | None = None, message: str | None = None) -> None:
        if percentage is not None:
            self.percentages.append(percentage)
        if message is not None:
            self.messages.append(message)

    def raise_if_cancelled(self) -> None:
        self.looks_at_cancelled += 1
        if self.cancel_when(self):
            raise RequestCancelled

    def chunk(self, data: JsonValue, *, checkpoint: JsonValue) -> int:
        if len(self.chunks) == self.kill_after:
            raise Killed
        self.chunks.append(json.loads(json.dumps(data, allow_nan=False)))
        self.checkpoints.append(json.loads(json.dumps(checkpoint)))
        return len(self.chunks)

    @contextmanager
    def file(self, name: str, media_type: str) -> Iterator[SimpleNamespace]:
        file = SimpleNamespace(path=self._folder / name, size=0, sha256="")

        def write(data: bytes) -> None:
            with file.path.open("ab") as stream:
                stream.write(data)

        file.write = write
        file.path.unlink(missing_ok=True)
        yield file
        content = file.path.read_bytes()
        self.files[name] = content
        file.size, file.sha256 = len(content), hashlib.sha256(content).hexdigest()


class Reporter:
    """Runs `generate_report` with a payload, by default to its end."""

    def __init__(self, folder: Path, data: Path) -> None:
        self._folder = folder
        self.data = data

    def recorder(self, checkpoint: JsonValue = None) -> Recorder:
        return Recorder(self._folder, checkpoint)

    def run(self, payload: dict[str, Any], recorder: Recorder) -> Report:
        params = ReportParams.model_validate_json(json.dumps(payload))
        return generate_report(cast(SyncRequestContext, recorder), params)

    def __call__(self, **payload: Any) -> tuple[Report, Recorder]:
        recorder = self.recorder()
        return self.run(payload, recorder), recorder

    def source(self, text: str | bytes, name: str = "records.csv") -> str:
        content = text if isinstance(text, bytes) else text.encode()
        (self.data / name).write_bytes(content)
        return name


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reporter:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    out.mkdir()
    monkeypatch.setenv("LONGCALL_DEMO_DATA_DIR", str(data))
    return Reporter(out, data)
