# SPDX-License-Identifier: Apache-2.0
"""A context that records, and a source folder; the handlers run as they are."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Generic, TypeVar, cast

import pytest
from pydantic import TypeAdapter, ValidationError

from longcall_demo.bulk.handler import bulk_operation
from longcall_demo.bulk.params import BulkParams, BulkResult
from longcall_demo.process.handler import process_data
from longcall_demo.process.params import ProcessParams
from longcall_demo.report.handler import generate_report
from longcall_demo.report.params import Report, ReportParams
from longcall_server import HandlerError, JsonValue, RequestCancelled, SyncRequestContext

Result = TypeVar("Result")


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
    def items(self) -> list[Any]:
        """What was emitted, however it was cut into chunks."""
        return [i for chunk in self.chunks for i in (chunk if isinstance(chunk, list) else [chunk])]

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


class Runner(Generic[Result]):
    """Runs a handler with a payload, by default to its end."""

    def __init__(
        self,
        folder: Path,
        data: Path,
        handler: Callable[[SyncRequestContext, Any], Result],
        params: Any,
    ) -> None:
        self._folder = folder
        self._handler = handler
        self._params: TypeAdapter[Any] = TypeAdapter(params)
        self.data = data

    def recorder(self, checkpoint: JsonValue = None) -> Recorder:
        return Recorder(self._folder, checkpoint)

    def run(self, payload: dict[str, Any], recorder: Recorder) -> Result:
        params = self._params.validate_json(json.dumps(payload))
        return self._handler(cast(SyncRequestContext, recorder), params)

    def __call__(self, **payload: Any) -> tuple[Result, Recorder]:
        recorder = self.recorder()
        return self.run(payload, recorder), recorder

    def failure(self, **payload: Any) -> HandlerError:
        """How it fails, before anything was emitted, and for good."""
        recorder = self.recorder()
        with pytest.raises(HandlerError) as failed:
            self.run(payload, recorder)
        assert recorder.chunks == []
        assert not failed.value.retryable
        return failed.value

    def refusal(self, **payload: Any) -> tuple[tuple[int | str, ...], str]:
        """Where the payload is refused, as pydantic says it, and why."""
        with pytest.raises(ValidationError) as refused:
            self._params.validate_json(json.dumps(payload))
        first = refused.value.errors()[0]
        return first["loc"], first["msg"]

    def resumed_everywhere(self, **payload: Any) -> Recorder:
        """Kills an attempt after each of its chunks, and sees the next one make what an unbroken
        one makes; gives that."""
        whole, unbroken = self(**payload)
        for stored in range(len(unbroken.chunks) + 1):
            first = self.recorder()
            first.kill_after = stored
            if stored < len(unbroken.chunks):
                with pytest.raises(Killed):
                    self.run(payload, first)
            else:
                self.run(payload, first)
            assert len(first.chunks) == stored
            second = self.recorder(first.checkpoints[-1] if stored else None)
            assert self.run(payload, second) == whole
            assert first.items + second.items == unbroken.items
            assert second.files == unbroken.files
        return unbroken

    def cancelled_everywhere(self, **payload: Any) -> None:
        """Cancels an attempt at each of its looks, and sees it end there."""
        _, unbroken = self(**payload)
        assert unbroken.looks_at_cancelled > 0
        for look in range(1, unbroken.looks_at_cancelled + 1):
            recorder = self.recorder()
            recorder.cancel_when = cancelled_at(look)
            with pytest.raises(RequestCancelled):
                self.run(payload, recorder)
            assert recorder.looks_at_cancelled == look
            assert recorder.items == unbroken.items[: len(recorder.items)]

    def source(self, text: str | bytes, name: str = "records.csv") -> str:
        content = text if isinstance(text, bytes) else text.encode()
        (self.data / name).write_bytes(content)
        return name


def cancelled_at(look: int) -> Callable[[Recorder], bool]:
    return lambda recorder: recorder.looks_at_cancelled == look


Reporter = Runner[Report]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Where files of results go, and the data folder."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    out.mkdir()
    monkeypatch.setenv("LONGCALL_DEMO_DATA_DIR", str(data))
    return out, data


@pytest.fixture
def report(folders: tuple[Path, Path]) -> Runner[Report]:
    return Runner(*folders, generate_report, ReportParams)


@pytest.fixture
def process(folders: tuple[Path, Path]) -> Runner[Any]:
    return Runner(*folders, process_data, ProcessParams)


@pytest.fixture
def bulk(folders: tuple[Path, Path]) -> Runner[BulkResult]:
    return Runner(*folders, bulk_operation, BulkParams)
