# SPDX-License-Identifier: Apache-2.0
"""The way of a handler's context from its process to the attempt, which the server holds."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from longcall_server.executor.process_channel import (
    Answer,
    Ask,
    AttachFile,
    Checkpoint,
    Chunk,
    DropFile,
    FromProcess,
    OpenFile,
    Report,
    SealFile,
    Work,
)
from longcall_server.handlers.attempt import AttemptCore, FileDraft
from longcall_server.handlers.errors import AttemptFenced
from longcall_server.stores.base import StoredFile


class ChannelPort:
    """The `SyncPort` of one call. Handlers' threads and the one that listens use it."""

    def __init__(self, call: int, core: AttemptCore, send: Callable[[FromProcess], None]) -> None:
        self.call = call
        self.interrupted = threading.Event()
        self._core = core
        self._send = send
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[Answer]] = {}
        self._reports = threading.Lock()
        self._newest: str | None = None
        self._reporting = False

    # --- for the handler ---

    def report(self, members: str) -> None:
        """Hands the newest progress over: at once, or when the server has taken the one before."""
        with self._reports:
            if self._reporting:
                self._newest = members
            else:
                self._reporting = True
                self._send(Report(self.call, members))

    def chunk(self, data: str, checkpoint: str | None) -> int:
        """Appends a chunk."""
        self._core.check_chunk(data, checkpoint)
        seq: int = self.ask(Chunk(data, checkpoint))
        return seq

    def save_checkpoint(self, checkpoint: str) -> None:
        """Keeps a checkpoint."""
        self._core.check_checkpoint(checkpoint)
        self.ask(Checkpoint(checkpoint))

    def open_file(self, name: str, media_type: str) -> FileDraft:
        """Begins a file, which this process writes itself."""
        return _Draft(self, name, self.ask(OpenFile(str(name), str(media_type))))

    def attach_file(self, stored: StoredFile) -> None:
        """The sealed file becomes a part of the outcome."""
        self.ask(AttachFile(stored))

    def drop_file(self, name: str) -> None:
        """Nothing is left to do: the draft was discarded."""

    def ask(self, work: Work) -> Any:
        """Has the server do something; raises what it raises there, or `AttemptFenced`."""
        number = next(self._numbers)
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._waiting[number] = answers
        try:
            if self._core.stopped:
                raise _fenced()
            self._send(Ask(self.call, number, work))
            answer = answers.get()
        finally:
            del self._waiting[number]
        if answer.error is not None:
            raise answer.error
        return answer.value

    # --- for the thread that listens ---

    def cancel(self, reason: str | None) -> None:
        """The request was cancelled."""
        self._core.cancel_reason = reason
        self._core.cancelled = True
        self.interrupted.set()

    def stop(self) -> None:
        """The attempt is fenced: whatever waits for an answer gets `AttemptFenced`."""
        self._core.stopped = True
        self.interrupted.set()
        for number, answers in tuple(self._waiting.items()):
            answers.put(Answer(self.call, number, error=_fenced()))

    def report_taken(self) -> None:
        """The server is ready for the next progress."""
        with self._reports:
            members, self._newest = self._newest, None
            self._reporting = members is not None
            if members is not None:
                self._send(Report(self.call, members))

    def answered(self, answer: Answer) -> None:
        """Wakes who has asked."""
        answers = self._waiting.get(answer.number)
        if answers is not None:
            answers.put(answer)

    # --- for the one that ran the handler ---

    def flush(self) -> None:
        """Sends the progress that waits: it comes before the end (PROTOCOL 10.35)."""
        with self._reports:
            members, self._newest = self._newest, None
            if members is not None:
                self._send(Report(self.call, members))


class _Draft:
    """The `FileDraft` of a file that this process writes and the server keeps."""

    def __init__(self, port: ChannelPort, name: str, path: Path) -> None:
        self.path = path
        self._port = port
        self._name = name
        self._lock = threading.Lock()
        self._stream: BinaryIO | None = None
        self._over: Exception | None = None

    def write(self, data: bytes) -> None:
        """Appends bytes; raises `AttemptFenced` once the file was discarded."""
        with self._lock:
            if self._over is not None:
                raise self._over
            try:
                if self._stream is None:
                    self._stream = self.path.open("ab")
                self._stream.write(data)
            except FileNotFoundError:
                raise _discarded() from None

    def seal(self) -> StoredFile:
        """Has the server make the file durable."""
        with self._lock:
            self._close()
            stored: StoredFile = self._port.ask(SealFile(self._name))
            self._over = ValueError(f"the file {self._name!r} is finished")
        return stored

    def discard(self) -> None:
        """Has the server remove the file."""
        with self._lock:
            self._close()
            self._over = _discarded()
            with contextlib.suppress(AttemptFenced):  # then it is removed with its attempt
                self._port.ask(DropFile(self._name))

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _fenced() -> AttemptFenced:
    return AttemptFenced("this attempt is no longer the current one")


def _discarded() -> AttemptFenced:
    return AttemptFenced("the file was discarded with its attempt")
