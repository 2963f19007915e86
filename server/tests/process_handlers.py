# SPDX-License-Identifier: Apache-2.0
"""Handlers that run in processes of the pool; both sides import this module."""

from __future__ import annotations

import enum
import logging
import os
import select
import socket
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from longcall_server import (
    AttemptFenced,
    HandlerError,
    JsonValue,
    NotJson,
    PayloadTooLarge,
    RequestCancelled,
    SyncRequestContext,
)


class Params(BaseModel):
    count: int


class Report(BaseModel):
    rows: int
    pid: int


def typed(ctx: SyncRequestContext, params: Params) -> Report:
    return Report(rows=params.count, pid=os.getpid())


def tell(ctx: SyncRequestContext) -> JsonValue:
    assert ctx.deadline is not None
    return {
        "ids": [ctx.request_id, ctx.action, ctx.tenant_id, ctx.sub],
        "attempt": ctx.attempt,
        "metadata": dict(ctx.metadata),
        "trace": ctx.traceparent,
        "checkpoint": ctx.checkpoint,
        "kept": ctx.chunks_kept_to,
        "times": [ctx.created_at.isoformat(), ctx.deadline.isoformat()],
        "server": [ctx.server.version, ctx.server.store],
        "cancelled": ctx.cancelled,
    }


def write(ctx: SyncRequestContext) -> list[int]:
    first = ctx.chunk({"row": 1}, checkpoint=1)
    ctx.save_checkpoint({"at": 2})
    return [first, ctx.chunk(None, checkpoint=None)]


def report(ctx: SyncRequestContext, count: int) -> None:
    for number in range(count + 1):
        ctx.progress(100 * number / count, f"step {number}")


def refused(ctx: SyncRequestContext, size: int) -> int:
    """Every write over the limit fails in the handler's own call."""
    big = "x" * size
    writes = (
        lambda: ctx.chunk(big),
        lambda: ctx.chunk(1, checkpoint=big),
        lambda: ctx.save_checkpoint(big),
        lambda: ctx.progress(details=big),
    )
    count = 0
    for attempt in writes:
        with pytest.raises(PayloadTooLarge) as caught:
            attempt()
        count += caught.value.size > size
    with pytest.raises(NotJson, match="chunk: nan at /0"):
        ctx.chunk([float("nan")])
    with pytest.raises(ValueError, match="0 to 100"):
        ctx.progress(101)
    return count


def one_chunk(ctx: SyncRequestContext) -> int:
    return ctx.chunk("one")


def stubborn(ctx: SyncRequestContext) -> str:
    """Goes on after a write was refused."""
    try:
        ctx.chunk("one")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "written"


def files(ctx: SyncRequestContext, text: str) -> dict[str, JsonValue]:
    with ctx.file("report.txt", "text/plain") as made:
        made.write(text.encode())
        made.write(b"!")
    with pytest.raises(ValueError, match="is finished"):
        made.write(b"more")
    with ctx.file("library.bin") as other:
        other.path.write_bytes(b"by its path")
    with pytest.raises(ValueError, match="already attached"), ctx.file("report.txt"):
        pass
    with pytest.raises(ValueError, match="separator"), ctx.file("a/b"):
        pass
    try:
        with ctx.file("dropped.txt") as dropped:
            dropped.write(b"x")
            raise InterruptedError
    except InterruptedError:
        pass
    with ctx.file("dropped.txt") as again:
        again.write(b"yy")
    return {"size": made.size, "sha256": made.sha256, "again": again.size}


def wait(ctx: SyncRequestContext) -> None:
    ctx.chunk(os.getpid())
    assert ctx.wait_cancelled(60)
    ctx.raise_if_cancelled()


def finishes_anyway(ctx: SyncRequestContext) -> list[bool]:
    ctx.chunk("begun")
    ctx.wait_cancelled()
    with pytest.raises(RequestCancelled, match="enough"):
        ctx.raise_if_cancelled()
    ctx.chunk("still allowed within the grace")
    return [ctx.cancelled]


def pid(ctx: SyncRequestContext) -> int:
    return os.getpid()


_left_behind: list[tuple[threading.Event, list[Any]]] = []


def leaves_a_thread(ctx: SyncRequestContext) -> None:
    go = threading.Event()
    heard: list[int | str] = []

    def late() -> None:
        go.wait()
        try:
            heard.append(ctx.chunk("too late"))
        except AttemptFenced as error:
            heard.append(str(error))

    thread = threading.Thread(target=late)
    thread.start()
    _left_behind.append((go, [thread, heard]))


def asks_the_thread(ctx: SyncRequestContext) -> JsonValue:
    go, (thread, heard) = _left_behind.pop()
    go.set()
    thread.join(30)
    return [str(one) for one in heard]


def fails(ctx: SyncRequestContext, details: JsonValue) -> None:
    raise HandlerError("no_such_source", "There is none.", True, details)


def raise_value_error(ctx: SyncRequestContext) -> None:
    raise ValueError("the password is 1234")


class Measured(float):
    """A number with a type of its own, as numpy has them."""


class Level(enum.IntEnum):
    LOUD = 35


class Word(str):
    """A text with a type of its own."""

    def __str__(self) -> str:
        return "another text"


def logs_its_own_types(ctx: SyncRequestContext) -> None:
    extra = {"mean": Measured(1.5), "word": Word("a"), "whole": True, "nothing": None}
    logging.getLogger(__name__).log(Level.LOUD, "measured", extra=extra)


def fork_logs(ctx: SyncRequestContext) -> int:
    """How many of a fork's sockets have got what it logged."""
    fork = os.fork()
    if fork == 0:
        # The lowest free numbers, that of the channel among them.
        ends = [end for _ in range(8) for end in socket.socketpair()]
        logging.getLogger(__name__).warning("logged in a fork")
        os._exit(len(select.select(ends, [], [], 0)[0]))
    return os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])


class Group:
    """A place for a function in a class."""

    @staticmethod
    def inside(ctx: SyncRequestContext) -> str:
        return "found"

    def method(self, ctx: SyncRequestContext) -> None: ...


def replaced(ctx: SyncRequestContext) -> str:
    return "the first one"


first_replaced = replaced


def replaced(ctx: SyncRequestContext) -> str:  # type: ignore[no-redef]
    return "the second one"
