# SPDX-License-Identifier: Apache-2.0
"""The context of a handler that is a plain `def`: its methods block, wherever it runs."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Protocol

from pydantic import BaseModel

from longcall_server.handlers.attempt import AttemptCore, FileDraft
from longcall_server.handlers.context import ContextBase
from longcall_server.handlers.encoding import UNSET, JsonValue, Unset
from longcall_server.stores.base import StoredFile


class SyncPort(Protocol):
    """The way from where a plain `def` runs to its attempt. Its methods may be called from any
    thread; those that wait raise `AttemptFenced` once the attempt is stopped."""

    interrupted: threading.Event
    """Set when the handler should stop."""

    def report(self, members: str) -> None:
        """Hands the newest progress over; does not wait."""

    def chunk(self, data: str, checkpoint: str | None) -> int:
        """Appends a chunk; durable when it returns its `seq`."""

    def save_checkpoint(self, checkpoint: str) -> None:
        """Keeps a checkpoint; durable when it returns."""

    def open_file(self, name: str, media_type: str) -> FileDraft:
        """Begins a file; raises `ValueError` for a bad name."""

    def attach_file(self, stored: StoredFile) -> None:
        """The sealed file becomes a part of the outcome."""

    def drop_file(self, name: str) -> None:
        """Forgets a file whose writing failed; does not wait."""


class SyncRequestContext(ContextBase):
    """A running request, for handlers that are a plain `def`, in a thread or in a process.

    The methods block; on a cancel only `cancelled` changes: look at it, or call
    `raise_if_cancelled`, between two steps of the work.
    """

    def __init__(self, core: AttemptCore, port: SyncPort) -> None:
        super().__init__(core)
        self._port = port

    def progress(
        self,
        percentage: float | None = None,
        message: str | None = None,
        details: JsonValue | Unset = UNSET,
    ) -> None:
        """As `RequestContext.progress`; does not wait for the event loop."""
        self._port.report(self._members(percentage, message, details))

    def chunk(self, data: JsonValue | BaseModel, *, checkpoint: JsonValue | Unset = UNSET) -> int:
        """As `RequestContext.chunk`."""
        encoded = self._core.encode("chunk", data)
        return self._port.chunk(encoded, self._checkpoint(checkpoint))

    def save_checkpoint(self, state: JsonValue) -> None:
        """As `RequestContext.save_checkpoint`."""
        self._port.save_checkpoint(self._core.encode("checkpoint", state))

    def file(self, name: str, media_type: str = "application/octet-stream") -> _SyncFileBlock:
        """As `RequestContext.file`: `with ctx.file("report.csv", "text/csv") as file: …`."""
        return _SyncFileBlock(self._port, name, media_type)

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Waits until the handler should stop, `timeout` seconds at most; whether it should."""
        return self._port.interrupted.wait(timeout)


class SyncHandlerFile:
    """A file being written by a thread; `size` and `sha256` are known after its block."""

    def __init__(self, draft: FileDraft) -> None:
        self._draft = draft
        self.path: Path = draft.path
        """A private place with the file's name; any library may write there."""
        self.size: int = 0
        """In bytes."""
        self.sha256: str = ""
        """In hex."""

    def write(self, data: bytes) -> None:
        """Appends bytes."""
        self._draft.write(data)


class _SyncFileBlock:
    """The `with` of a file."""

    def __init__(self, port: SyncPort, name: str, media_type: str) -> None:
        self._port = port
        self._name = name
        self._media_type = media_type
        self._draft: FileDraft | None = None
        self._file: SyncHandlerFile | None = None

    def __enter__(self) -> SyncHandlerFile:
        self._draft = self._port.open_file(self._name, self._media_type)
        self._file = SyncHandlerFile(self._draft)
        return self._file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._draft is not None
        assert self._file is not None
        try:
            if error is None:
                stored = self._draft.seal()
                self._file.size, self._file.sha256 = stored.size, stored.sha256
                self._port.attach_file(stored)
                return
        except BaseException:
            self._forget()
            raise
        self._forget()

    def _forget(self) -> None:
        assert self._draft is not None
        self._draft.discard()
        self._port.drop_file(self._name)
