# SPDX-License-Identifier: Apache-2.0
"""What the server and a process of its pool tell each other, over a pair of sockets.

    server    Start ──────────────► Cancel, Stop, Answer, ReportTaken
    process   Ready ──► Report, Ask (chunk, checkpoint, file), Record ──► Ended

A frame is its length in four bytes and a pickled message. Messages are made of text and numbers:
payloads, results and whatever else a handler writes cross as JSON text, so that no value of a
handler's own has to be picklable. `call` says which call of the process a message belongs to.
"""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from longcall_server.executor.outcomes import Outcome
from longcall_server.handlers.attempt import Bounds, Call, ServerInfo
from longcall_server.handlers.signature import Place
from longcall_server.stores.base import StoredFile

HEADER: Final = struct.Struct(">I")
MAX_RECORD_CHARS: Final = 65_536
"""A log record is cut here."""
MAX_FRAME_BYTES: Final = 1 << 30
"""Far more than any message takes: a longer frame is garbage."""


@dataclass(frozen=True, slots=True)
class Start:
    """Call a handler."""

    call: int
    place: Place
    request: Call
    server: ServerInfo
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class Cancel:
    """The request was cancelled."""

    call: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Stop:
    """The attempt is fenced: nothing that it writes counts, and the process will be ended soon."""

    call: int


@dataclass(frozen=True, slots=True)
class ReportTaken:
    """The server is ready for the next `Report`."""

    call: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to an `Ask`: its value, or the exception that its caller gets."""

    call: int
    number: int
    value: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The process can be given calls."""


@dataclass(frozen=True, slots=True)
class Report:
    """The newest progress, as JSON members."""

    call: int
    members: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Something that the server does for the handler, which waits for the `Answer`."""

    call: int
    number: int
    work: Work


@dataclass(frozen=True, slots=True)
class Chunk:
    """Append a chunk. Answered by its `seq`."""

    data: str
    checkpoint: str | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Keep a checkpoint."""

    checkpoint: str


@dataclass(frozen=True, slots=True)
class OpenFile:
    """Begin a file. Answered by its path."""

    name: str
    media_type: str


@dataclass(frozen=True, slots=True)
class SealFile:
    """Make a file durable. Answered by its `StoredFile`."""

    name: str


@dataclass(frozen=True, slots=True)
class AttachFile:
    """The sealed file becomes a part of the outcome."""

    stored: StoredFile


@dataclass(frozen=True, slots=True)
class DropFile:
    """Remove a file and forget it."""

    name: str


@dataclass(frozen=True, slots=True)
class Record:
    """A log record of the process, without what only its own process understands."""

    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """The handler has ended."""

    call: int
    outcome: Outcome


Work = Chunk | Checkpoint | OpenFile | SealFile | AttachFile | DropFile
ToProcess = Start | Cancel | Stop | ReportTaken | Answer
FromProcess = Ready | Report | Ask | Record | Ended
WorkValue = int | Path | StoredFile | None


class BadFrame(Exception):
    """What came is no message: something else has written to the channel."""


def frame(message: ToProcess | FromProcess) -> bytes:
    """A message as it crosses."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(body)) + body


def body_size(header: bytes) -> int:
    """How many bytes follow a header; raises `BadFrame`."""
    size: int = HEADER.unpack(header)[0]
    if size > MAX_FRAME_BYTES:
        raise BadFrame(f"a frame of {size} bytes")
    return size


def message_of(body: bytes) -> Any:
    """The message of a frame; raises `BadFrame`."""
    try:
        return pickle.loads(body)
    except Exception as error:
        raise BadFrame("a frame that is no message") from error


def portable(error: Exception) -> Exception:
    """The exception itself if it crosses as it is, or one that tells the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
