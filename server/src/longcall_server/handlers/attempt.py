# SPDX-License-Identifier: Apache-2.0
"""One attempt as its handler works on it: the state behind a context, and where it writes."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Never, Protocol, Self

from pydantic import TypeAdapter

from longcall_server.core import events
from longcall_server.handlers.encoding import ANY, encode
from longcall_server.handlers.errors import (
    AttemptFenced,
    LogLimitReached,
    NotJson,
    PayloadTooLarge,
    RequestCancelled,
)
from longcall_server.stores.base import Clock, Owner, Record, StoredFile, StoredProgress

_PROGRESS_FRAME_BYTES = 512
"""More than a `progress` frame takes beside its message and details."""


class FileDraft(Protocol):
    """A file being written; all methods block and may be called from any thread."""

    path: Path

    def write(self, data: bytes) -> None:
        """Appends bytes."""

    def seal(self) -> StoredFile:
        """Makes the file durable; nothing is written after it."""

    def discard(self) -> None:
        """Removes the file; later writes raise `AttemptFenced`."""


class AttemptWriter(Protocol):
    """Where an attempt writes: a lease's log, or what comes before a promotion (PROTOCOL 10.10)."""

    def progress(self, progress: StoredProgress) -> None:
        """Takes the newest progress; cheap, never blocks, never raises."""

    async def chunk(self, data: str, checkpoint: str | None) -> int:
        """Appends a chunk (and a checkpoint) of JSON text; durable when it returns its `seq`."""

    async def save_checkpoint(self, checkpoint: str) -> None:
        """Keeps a checkpoint for the next attempt; durable when it returns."""

    async def open_file(self, name: str, media_type: str) -> FileDraft:
        """Begins a file; raises `ValueError` for a bad name."""


class FencedWriter:
    """Where an attempt writes of which nothing counts any more.

    It takes the place of a writer that holds the execution, which holds the attempt: such a ring
    would live until the garbage collector stops the event loop to look for it.
    """

    def progress(self, progress: StoredProgress) -> None:
        """Nobody is told."""

    async def chunk(self, data: str, checkpoint: str | None) -> Never:
        """Raises `AttemptFenced`."""
        raise AttemptFenced(_OVER)

    async def save_checkpoint(self, checkpoint: str) -> Never:
        """Raises `AttemptFenced`."""
        raise AttemptFenced(_OVER)

    async def open_file(self, name: str, media_type: str) -> Never:
        """Raises `AttemptFenced`."""
        raise AttemptFenced(_OVER)


FENCED = FencedWriter()
_OVER = "the attempt is over"


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler is called with; times in milliseconds since the epoch, JSON as text."""

    request_id: str
    action: str
    payload: str
    attempt: int
    owner: Owner
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_at: int = 0
    deadline_at: int | None = None
    checkpoint: str | None = None
    chunks_kept_to: int = 0
    traceparent: str | None = None
    """As the caller wrote it."""

    @classmethod
    def of(cls, record: Record) -> Self:
        """The call of a claimed request."""
        return cls(
            request_id=record.key.id,
            action=record.action,
            payload=record.payload,
            attempt=record.attempt,
            owner=record.key.owner,
            metadata=record.metadata,
            created_at=record.created_at,
            deadline_at=record.deadline_at,
            checkpoint=record.checkpoint,
            chunks_kept_to=record.chunks_kept_to,
            traceparent=record.traceparent,
        )


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The server that runs a handler."""

    version: str
    store: str
    """The store engine's name, e.g. `sqlite`."""
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Bounds:
    """What every JSON value of a handler has to keep to."""

    max_message_bytes: int = 1_048_576
    max_depth: int = 64


class AttemptCore:
    """What is known of an attempt wherever its handler runs: what it was called with, whether it is
    to stop, and how its values are written and measured. Its flags are set and read in any thread.
    """

    def __init__(self, call: Call, *, server: ServerInfo, bounds: Bounds, clock: Clock) -> None:
        self.call = call
        self.server = server
        self.bounds = bounds
        self.cancelled = False
        self.stopped = False
        self.cancel_reason: str | None = None
        self._clock = clock

    @property
    def max_message_bytes(self) -> int:
        """The most bytes of a frame that carries something of this attempt."""
        return self.bounds.max_message_bytes

    def encode(
        self, what: str, value: object, adapter: TypeAdapter[Any] = ANY, *, levels: int = 1
    ) -> str:
        """The JSON text of a value that stands `levels` deep in a message; raises `NotJson`."""
        try:
            return encode(value, adapter, max_depth=self.bounds.max_depth - levels)
        except NotJson as error:
            raise NotJson(f"{what}: {error}") from error.__cause__

    def encode_result(self, value: object, adapter: TypeAdapter[Any]) -> str:
        """The JSON text of a result; raises `NotJson` and `PayloadTooLarge`."""
        text = self.encode("result", value, adapter)
        self._fits("result", events.complete(self.call.request_id, text).size)
        return text

    def error_fits(self, error: str) -> bool:
        """Whether an ErrorInfo can be sent in every frame that may carry it (PROTOCOL 10.44)."""
        draft = events.retrying(self.call.request_id, 2**53, 2**53, self._clock(), error)
        return draft.size <= self.bounds.max_message_bytes

    def encode_progress(
        self, percentage: float | None, message: str | None, details: str | None
    ) -> str:
        """The fields of a progress as JSON members; raises `ValueError`, `PayloadTooLarge`."""
        parts = []
        if percentage is not None:
            if isinstance(percentage, bool) or not isinstance(percentage, int | float):
                raise TypeError(f"percentage must be a number, not {type(percentage).__name__}")
            if not (math.isfinite(percentage) and 0 <= percentage <= 100):
                raise ValueError(f"percentage must lie in 0 to 100, not {percentage}")
            parts.append(f'"percentage":{json.dumps(percentage)}')
        if message is not None:
            if not isinstance(message, str):
                raise TypeError(f"message must be a str, not {type(message).__name__}")
            parts.append(f'"message":{self.encode("message", message)}')
        if details is not None:
            parts.append(f'"details":{details}')
        members = ",".join(parts)
        self._fits("progress", len(members.encode()) + _PROGRESS_FRAME_BYTES)
        return members

    def check_chunk(self, data: str, checkpoint: str | None) -> None:
        """Raises `PayloadTooLarge` or `AttemptFenced` for what cannot be appended."""
        draft = events.chunk(self.call.request_id, self.call.attempt, data)
        self._fits("chunk", draft.size)
        self.check_checkpoint(checkpoint)

    def check_checkpoint(self, checkpoint: str | None) -> None:
        """Raises `PayloadTooLarge` or `AttemptFenced` for what cannot be kept."""
        if checkpoint is not None:
            self._fits("checkpoint", len(checkpoint.encode()))
        self._check_fence()

    def raise_if_interrupted(self) -> None:
        """Raises `AttemptFenced` or `RequestCancelled` when the handler is to stop."""
        self._check_fence()
        if self.cancelled:
            raise RequestCancelled(self.cancel_reason or "the request was cancelled")

    def _check_fence(self) -> None:
        if self.stopped:
            raise AttemptFenced("this attempt is no longer the current one")

    def _fits(self, what: str, size: int) -> None:
        limit = self.bounds.max_message_bytes
        if size > limit:
            raise PayloadTooLarge(what, limit, size)


class Attempt(AttemptCore):
    """The state of a running attempt. Used on the event loop only, but for what is of the core."""

    def __init__(
        self, call: Call, writer: AttemptWriter, *, server: ServerInfo, bounds: Bounds, clock: Clock
    ) -> None:
        super().__init__(call, server=server, bounds=bounds, clock=clock)
        self.writer = writer
        """Looked up at each write: a promotion puts another one in place."""
        self.progress: StoredProgress | None = None
        self.interrupted = asyncio.Event()
        """Set when the handler is to stop: cancelled or fenced."""
        self.fatal: LogLimitReached | None = None
        """Ends the request whatever the handler makes of it (PROTOCOL 10.44)."""
        self._version = 0
        self._drafts: dict[str, FileDraft] = {}
        self._files: dict[str, StoredFile] = {}

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """What the finishing transaction records."""
        return tuple(self._files.values())

    def report(self, members: str) -> None:
        """Makes this the newest progress: the version grows within the attempt (PROTOCOL 10.36)."""
        if self.stopped:
            return
        self._version += 1
        head = f'{{"attempt":{self.call.attempt},"version":{self._version}'
        tail = f'"updated_at":"{events.timestamp(self._clock())}"}}'
        body = f"{head},{members},{tail}" if members else f"{head},{tail}"
        self.progress = StoredProgress(self.call.attempt, self._version, body)
        self.writer.progress(self.progress)

    async def chunk(self, data: str, checkpoint: str | None) -> int:
        """Appends a chunk; raises `PayloadTooLarge`, `LogLimitReached`, `AttemptFenced`."""
        self.check_chunk(data, checkpoint)
        try:
            return await self.writer.chunk(data, checkpoint)
        except LogLimitReached as error:
            self.fatal = error
            raise

    async def save_checkpoint(self, checkpoint: str) -> None:
        """Keeps a checkpoint; raises `PayloadTooLarge`, `AttemptFenced`."""
        self.check_checkpoint(checkpoint)
        await self.writer.save_checkpoint(checkpoint)

    async def open_file(self, name: str, media_type: str) -> FileDraft:
        """Begins a file; raises `ValueError` for a bad name or one that is already attached."""
        if name in self._drafts:
            raise ValueError(f"this attempt has already attached a file named {name!r}")
        self._check_fence()
        draft = await self.writer.open_file(name, media_type)
        if self.stopped or name in self._drafts:
            draft.discard()
            self._check_fence()
            raise ValueError(f"this attempt has already attached a file named {name!r}")
        self._drafts[name] = draft
        return draft

    def attach_file(self, stored: StoredFile) -> None:
        """The sealed file becomes a part of the outcome."""
        self._check_fence()
        self._files[stored.name] = stored

    def drop_file(self, name: str) -> None:
        """A file whose writing failed is forgotten; its name is free again."""
        self._drafts.pop(name, None)

    def release_files(self, *, recorded: bool) -> None:
        """Removes every file that no transaction recorded, the unfinished ones included. Blocks."""
        kept = set(self._files) if recorded else set()
        drafts, self._drafts = self._drafts, {}
        for name, draft in drafts.items():
            if name not in kept:
                draft.discard()

    @property
    def has_files(self) -> bool:
        """Whether there is anything to release."""
        return bool(self._drafts)
