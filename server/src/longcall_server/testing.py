# SPDX-License-Identifier: Apache-2.0
"""Runs a handler with a recording context and no server, for the tests of an application.

    from longcall_server.testing import run_handler

    async def test_a_report_has_its_rows() -> None:
        run = await run_handler(generate_report, {"format": "csv", "report_type": "monthly"})
        assert run.error is None
        assert run.result["rows"] == len(run.chunks)

The handler goes through the same registry, executor and context as in the server: payload and
result are validated, encoded and measured alike. One that is registered with `executor="process"`
runs in a thread here, so that what a test has patched is what it sees and no process has to start;
`in_process=True` runs it in a process, as the server does, for the test that it can.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic_core import to_json

from longcall_server import __version__
from longcall_server.executor import Cancelled, Completed, Execution, Executor, Failed, Outcome
from longcall_server.files import FileStore
from longcall_server.handlers import Call, FileDraft, Handlers, JsonValue, ServerInfo
from longcall_server.handlers.attempt import Bounds
from longcall_server.stores.base import Owner, RequestKey, StoredProgress

_ACTION = "under_test"
_OWNER = Owner("test-tenant", "test-user")

EventKind = Literal["progress", "chunk", "checkpoint", "file"]


@dataclass(frozen=True)
class HandlerEvent:
    """Something that the handler did: `kind`, and the JSON value of it (a file's is its name)."""

    kind: EventKind
    value: JsonValue


@dataclass(frozen=True)
class HandlerFailure:
    """How the handler failed; `code` and `details` as the caller would see them."""

    code: str
    message: str
    retryable: bool
    """Whether the request would be retried by its policy."""
    details: JsonValue = None


@dataclass
class HandlerRun:
    """What a handler did, in JSON values."""

    result: JsonValue = None
    error: HandlerFailure | None = None
    cancelled: bool = False
    """Whether it gave way to a cancel."""
    events: list[HandlerEvent] = field(default_factory=list)
    """Everything in order."""
    checkpoint: JsonValue = None
    """What the next attempt would find."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Name → content, of the files that a completion records."""

    @property
    def chunks(self) -> list[JsonValue]:
        """The data of each chunk."""
        return [event.value for event in self.events if event.kind == "chunk"]

    @property
    def progress(self) -> list[dict[str, Any]]:
        """Each report of an `async def`; a plain `def`'s are coalesced, the last is always here."""
        return [
            event.value
            for event in self.events
            if event.kind == "progress" and isinstance(event.value, dict)
        ]


class _Recorder:
    """The `AttemptWriter` of a handler under test."""

    def __init__(self, run: HandlerRun, files: FileStore, call: Call) -> None:
        self._run = run
        self._files = files
        self._call = call
        self._seq = 2  # acknowledgment and `status processing` come first in a log

    def progress(self, progress: StoredProgress) -> None:
        body = json.loads(progress.body)
        shown = {key: body[key] for key in ("percentage", "message", "details") if key in body}
        self._run.events.append(HandlerEvent("progress", shown))

    async def chunk(self, data: str, checkpoint: str | None) -> int:
        self._seq += 1
        self._run.events.append(HandlerEvent("chunk", json.loads(data)))
        if checkpoint is not None:
            await self.save_checkpoint(checkpoint)
        return self._seq

    async def save_checkpoint(self, checkpoint: str) -> None:
        self._run.checkpoint = json.loads(checkpoint)
        self._run.events.append(HandlerEvent("checkpoint", self._run.checkpoint))

    async def open_file(self, name: str, media_type: str) -> FileDraft:
        key = RequestKey(self._call.owner, self._call.request_id)
        draft = await self._files.open(key, self._call.attempt, name, media_type)
        self._run.events.append(HandlerEvent("file", name))
        return draft


class RunningHandler:
    """A handler that runs, to be cancelled in a test; `await` its `finish()`."""

    def __init__(self, run: HandlerRun, execution: Execution, files: FileStore) -> None:
        self._execution = execution
        self._files = files
        self.run = run
        """What it did so far."""

    def cancel(self, reason: str | None = None) -> None:
        """Cancels the request as a caller would."""
        self._execution.cancel(reason)

    async def finish(self) -> HandlerRun:
        """Waits for the end."""
        self._take(await self._execution.outcome())
        for file in self._execution.files if self.run.error is None else ():
            path = self._files.path(file.location)
            self.run.files[file.name] = await asyncio.to_thread(path.read_bytes)
        return self.run

    def _take(self, outcome: Outcome) -> None:
        match outcome:
            case Completed(result):
                self.run.result = json.loads(result)
            case Failed(error, retryable):
                info = json.loads(error)
                self.run.error = HandlerFailure(
                    info["code"], info["message"], retryable, info.get("details")
                )
            case Cancelled():
                self.run.cancelled = True
            case _:
                self.run.error = HandlerFailure("FENCED", "the handler gave up its attempt", True)


@asynccontextmanager
async def start_handler(
    handler: Handlers | Callable[..., Any],
    payload: object = None,
    *,
    action: str | None = None,
    checkpoint: object = None,
    attempt: int = 1,
    chunks_kept_to: int = 0,
    metadata: Mapping[str, str] | None = None,
    traceparent: str | None = None,
    request_id: str = "request-under-test",
    max_message_bytes: int = 1_048_576,
    in_process: bool = False,
) -> AsyncIterator[RunningHandler]:
    """Starts a handler and gives control while it runs; see `run_handler`."""
    handlers, action = _registered(handler, action, in_process=in_process)
    registration = handlers.get(action)
    if registration is None:
        raise LookupError(f"no handler is registered as {action!r}")
    registration.check()
    if registration.executor == "process" and not in_process:
        registration = replace(registration, executor="thread", place=None)
    call = Call(
        request_id=request_id,
        action=action,
        payload=_text(payload),
        attempt=attempt,
        owner=_OWNER,
        metadata=metadata or {},
        traceparent=traceparent,
        created_at=time.time_ns() // 1_000_000,
        checkpoint=None if checkpoint is None else _text(checkpoint),
        chunks_kept_to=chunks_kept_to,
    )
    server = ServerInfo(__version__, "memory", datetime.now(UTC))
    executor = Executor(server=server, bounds=Bounds(max_message_bytes), processes=1)
    with tempfile.TemporaryDirectory(prefix="longcall-test-") as folder:
        files = FileStore(Path(folder))
        run = HandlerRun()
        execution = executor.start(registration, call, _Recorder(run, files, call))
        try:
            yield RunningHandler(run, execution, files)
        finally:
            await executor.close()


async def run_handler(
    handler: Handlers | Callable[..., Any],
    payload: object = None,
    *,
    action: str | None = None,
    checkpoint: object = None,
    attempt: int = 1,
    chunks_kept_to: int = 0,
    metadata: Mapping[str, str] | None = None,
    traceparent: str | None = None,
    request_id: str = "request-under-test",
    max_message_bytes: int = 1_048_576,
    in_process: bool = False,
) -> HandlerRun:
    """Runs a handler function, or an `action` of a registry, to its end.

    `action` may be left out where the registry has one handler only. `payload` is a JSON value or
    a pydantic model. With `in_process` a plain `def` runs in a process of its own (default: in a
    thread, whatever it is registered with). Raises `RegistrationError` for a function that could
    not be registered, and `LookupError` for an unknown action; whatever the handler raises is in
    `run.error`.
    """
    async with start_handler(
        handler,
        payload,
        action=action,
        checkpoint=checkpoint,
        attempt=attempt,
        chunks_kept_to=chunks_kept_to,
        metadata=metadata,
        traceparent=traceparent,
        request_id=request_id,
        max_message_bytes=max_message_bytes,
        in_process=in_process,
    ) as running:
        return await running.finish()


def _registered(
    handler: Handlers | Callable[..., Any], action: str | None, *, in_process: bool
) -> tuple[Handlers, str]:
    if isinstance(handler, Handlers):
        if action is not None:
            return handler, action
        actions = handler.actions()
        if len(actions) != 1:
            raise LookupError(f"say which action is meant: {', '.join(actions) or 'there is none'}")
        return handler, actions[0]
    handlers = Handlers()
    handlers.register(action or _ACTION, executor="process" if in_process else None)(handler)
    return handlers, action or _ACTION


def _text(value: object) -> str:
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return to_json(value).decode()
