# SPDX-License-Identifier: Apache-2.0
"""The context of a running request: what every handler sees, and what a coroutine calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from pydantic import BaseModel
from pydantic_core import from_json

from longcall_server.core.trace import valid_traceparent
from longcall_server.handlers.attempt import Attempt, AttemptCore, FileDraft, ServerInfo
from longcall_server.handlers.encoding import UNSET, JsonValue, Unset


class ContextBase:
    """What the contexts of all kinds tell."""

    def __init__(self, core: AttemptCore) -> None:
        self._core = core
        call = core.call
        self.request_id: str = call.request_id
        self.action: str = call.action
        self.attempt: int = call.attempt
        """1 for the first attempt; grows by one with each."""
        self.tenant_id: str = call.owner.tenant_id
        self.sub: str = call.owner.sub
        """Who asked; from the verified token alone (PROTOCOL 3)."""
        self.metadata: Mapping[str, str] = call.metadata
        self.traceparent: str | None = valid_traceparent(call.traceparent)
        """The caller's trace context (W3C), for the parent of the handler's own spans; None if it
        gave none that can be read (PROTOCOL 4.4.6)."""
        self.chunks_kept_to: int = call.chunks_kept_to
        """The `seq` up to which chunks of former attempts stand (PROTOCOL 10.19)."""
        self.checkpoint: JsonValue = None if call.checkpoint is None else from_json(call.checkpoint)
        """What a former attempt stored last; None if nothing was."""
        self.server: ServerInfo = core.server

    @property
    def created_at(self) -> datetime:
        """When the request was accepted, in UTC."""
        return _moment(self._core.call.created_at)

    @property
    def deadline(self) -> datetime | None:
        """When the server ends the request with TIMEOUT, in UTC."""
        at = self._core.call.deadline_at
        return None if at is None else _moment(at)

    @property
    def cancelled(self) -> bool:
        """Whether the handler should stop: the request was cancelled or this attempt is fenced."""
        return self._core.cancelled or self._core.stopped

    def raise_if_cancelled(self) -> None:
        """Raises `RequestCancelled` (or `AttemptFenced`) if the handler should stop."""
        self._core.raise_if_interrupted()

    def _members(
        self, percentage: float | None, message: str | None, details: JsonValue | Unset
    ) -> str:
        encoded = None if details is UNSET else self._core.encode("details", details, levels=3)
        return self._core.encode_progress(percentage, message, encoded)

    def _checkpoint(self, state: JsonValue | Unset) -> str | None:
        return None if state is UNSET else self._core.encode("checkpoint", state)


class RequestContext(ContextBase):
    """A running request, for `async def` handlers. On a cancel their task is cancelled too."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(attempt)
        self._attempt = attempt

    async def progress(
        self,
        percentage: float | None = None,
        message: str | None = None,
        details: JsonValue | Unset = UNSET,
    ) -> None:
        """Reports how far the work is: 0 to 100, a text, any JSON value (PROTOCOL 6).

        Only the newest report is kept, so this may be called as often as it is convenient. Raises
        `ValueError`, `NotJson`, `PayloadTooLarge`.
        """
        self._attempt.report(self._members(percentage, message, details))

    async def chunk(
        self, data: JsonValue | BaseModel, *, checkpoint: JsonValue | Unset = UNSET
    ) -> int:
        """Appends a piece of the result; it is durable when this returns its `seq`.

        A `checkpoint` is stored in the same transaction: the next attempt finds it in
        `ctx.checkpoint`, and this chunk stands. Raises `NotJson`, `PayloadTooLarge`,
        `LogLimitReached`, `AttemptFenced`.
        """
        encoded = self._attempt.encode("chunk", data)
        return await self._attempt.chunk(encoded, self._checkpoint(checkpoint))

    async def save_checkpoint(self, state: JsonValue) -> None:
        """Stores what the next attempt will find in `ctx.checkpoint`; all chunks so far stand."""
        await self._attempt.save_checkpoint(self._attempt.encode("checkpoint", state))

    def file(self, name: str, media_type: str = "application/octet-stream") -> _FileBlock:
        """A file for the caller: `async with ctx.file("report.csv", "text/csv") as file: …`.

        It is recorded when the request completes. Raises `ValueError` for a name that is longer
        than 255 bytes, is `.` or `..`, holds a separator or control character, or is taken.
        """
        return _FileBlock(self._attempt, name, media_type)

    async def wait_cancelled(self) -> None:
        """Returns when the handler should stop."""
        await self._attempt.interrupted.wait()


class HandlerFile:
    """A file being written by a coroutine; `size` and `sha256` are known after its block."""

    def __init__(self, draft: FileDraft) -> None:
        self._draft = draft
        self.path: Path = draft.path
        """A private place with the file's name; any library may write there."""
        self.size: int = 0
        """In bytes."""
        self.sha256: str = ""
        """In hex."""

    async def write(self, data: bytes) -> None:
        """Appends bytes."""
        await asyncio.to_thread(self._draft.write, data)


class _FileBlock:
    """The `async with` of a file."""

    def __init__(self, attempt: Attempt, name: str, media_type: str) -> None:
        self._attempt = attempt
        self._name = name
        self._media_type = media_type
        self._draft: FileDraft | None = None
        self._file: HandlerFile | None = None

    async def __aenter__(self) -> HandlerFile:
        self._draft = await self._attempt.open_file(self._name, self._media_type)
        self._file = HandlerFile(self._draft)
        return self._file

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._draft is not None
        assert self._file is not None
        try:
            if error is None:
                stored = await asyncio.to_thread(self._draft.seal)
                self._file.size, self._file.sha256 = stored.size, stored.sha256
                self._attempt.attach_file(stored)
                return
        except BaseException:
            await self._drop()
            raise
        await self._drop()

    async def _drop(self) -> None:
        assert self._draft is not None
        self._attempt.drop_file(self._name)
        await asyncio.to_thread(self._draft.discard)


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)
