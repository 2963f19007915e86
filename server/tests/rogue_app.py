# SPDX-License-Identifier: Apache-2.0
"""Handlers that do what no handler should, in each of the three ways to run. Processes of servers
under test import this module too."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import multiprocessing
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from longcall_server import (
    Backoff,
    HandlerError,
    Handlers,
    JsonValue,
    RequestCancelled,
    RequestContext,
    SyncRequestContext,
)

handlers = Handlers()
gate = threading.Event()
"""Lets threads go that nothing else can end; set when a test is over."""

_GRACE = timedelta(milliseconds=50)
_AT_ONCE = Backoff(timedelta(0), timedelta(0))
_Untyped: Any = HandlerError


class Mute(Exception):
    """Cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Foreign(BaseException):
    """Passes by every `except Exception`."""


class Unpicklable(Exception):
    """Holds what cannot cross to another process."""

    def __init__(self) -> None:
        super().__init__(threading.Lock(), lambda: None)


RAISED: dict[str, Callable[[], BaseException]] = {
    "Exception": lambda: Exception("the password is 1234"),
    "BaseException": lambda: BaseException("base"),
    "foreign": Foreign,
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
    "GeneratorExit": GeneratorExit,
    "StopIteration": StopIteration,
    "CancelledError": asyncio.CancelledError,
    "mute": Mute,
    "unpicklable": Unpicklable,
    "group": lambda: ExceptionGroup("several", [ValueError("one"), Unpicklable()]),
    "uncalled cancel": lambda: RequestCancelled("nobody asked for it"),
    "mute code": lambda: _Untyped(Mute(), "m"),
    "mute message": lambda: _Untyped("c", Mute()),
    "surrogate": lambda: HandlerError("c", "half of a pair: \ud800"),
    "odd details": lambda: _Untyped("c", "m", details=threading.Lock()),
}
"""What ends an attempt with INTERNAL_ERROR."""


def raise_it(ctx: SyncRequestContext, name: str) -> None:
    """Raises what `RAISED` has by that name."""
    raise RAISED[name]()


def raise_handler_error(ctx: SyncRequestContext, details: JsonValue) -> None:
    """Fails of its own will, with fields of other types than declared."""
    raise _Untyped(404, None, details=details)


def return_lock(ctx: SyncRequestContext) -> Any:
    """Returns what is neither JSON nor picklable."""
    return threading.Lock()


def return_much(ctx: SyncRequestContext) -> str:
    """Returns more than a message holds."""
    return "x" * 2_000_000


@handlers.register("raise_coroutine", attempts=1)
async def raise_coroutine(ctx: RequestContext, name: str) -> None:
    """As `raise_it`."""
    raise RAISED[name]()


@handlers.register("handler_error_coroutine", attempts=1)
async def handler_error_coroutine(ctx: RequestContext, details: JsonValue) -> None:
    """As `raise_handler_error`."""
    raise _Untyped(404, None, details=details)


@handlers.register("lock_coroutine", attempts=3)
async def lock_coroutine(ctx: RequestContext) -> Any:
    """As `return_lock`."""
    return threading.Lock()


@handlers.register("much_coroutine", attempts=3)
async def much_coroutine(ctx: RequestContext) -> str:
    """As `return_much`."""
    return "x" * 2_000_000


handlers.register("raise_thread", attempts=1)(raise_it)
handlers.register("raise_process", attempts=1, executor="process")(raise_it)
handlers.register("handler_error_thread", attempts=1)(raise_handler_error)
handlers.register("handler_error_process", attempts=1, executor="process")(raise_handler_error)
handlers.register("lock_thread", attempts=3)(return_lock)
handlers.register("lock_process", attempts=3, executor="process")(return_lock)
handlers.register("much_thread", attempts=3)(return_much)
handlers.register("much_process", attempts=3, executor="process")(return_much)


@handlers.register("deaf_coroutine", attempts=1, cancel_grace=_GRACE)
async def deaf_coroutine(ctx: RequestContext) -> None:
    """Never returns of itself and ignores its cancel; goes when it is fenced, so that the loop of
    the test can end."""
    await ctx.chunk(os.getpid())
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                ctx.raise_if_cancelled()
            except RequestCancelled:
                continue


@handlers.register("deaf_thread", attempts=1, cancel_grace=_GRACE)
def deaf_thread(ctx: SyncRequestContext) -> None:
    """Never returns and looks at no flag."""
    ctx.chunk(os.getpid())
    gate.wait()


@handlers.register("deaf_process", attempts=1, cancel_grace=_GRACE, executor="process")
def deaf_process(ctx: SyncRequestContext) -> None:
    """Never returns, looks at no flag, and computes all the time."""
    ctx.chunk(os.getpid())
    while True:
        pass


@handlers.register("locked", attempts=1, cancel_grace=_GRACE, executor="process")
def locked(ctx: SyncRequestContext) -> None:
    """Holds the interpreter's lock for ever: no other thread of its process runs again."""
    ctx.chunk(os.getpid())
    ctypes.PyDLL(None).pause()


class Crash(BaseModel):
    """How, and in which attempts."""

    how: str
    attempts: int = 99


@handlers.register("crash", attempts=2, backoff=_AT_ONCE, executor="process")
def crash(ctx: SyncRequestContext, params: Crash) -> dict[str, JsonValue]:
    """Takes its process with it."""
    if ctx.attempt <= params.attempts:
        ctx.chunk("void")
        ctx.chunk("kept", checkpoint={"attempt": ctx.attempt})
        die(params.how)
    return {"attempt": ctx.attempt, "checkpoint": ctx.checkpoint}


def die(how: str) -> None:
    """Ends this process, or takes its channel from it."""
    match how:
        case "exit":
            os._exit(3)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "with a fork":
            # It holds whatever its parent held, and goes on without it.
            multiprocessing.get_context("fork").Process(target=signal.pause).start()
            os._exit(3)
        case "channel closed":
            os.closerange(3, 256)
        case "garbage":
            os.write(sockets()[0], b"\x00\x00\x00\x04oops")
            threading.Event().wait()


def sockets() -> list[int]:
    """The descriptors of this process that are sockets."""
    found = []
    for descriptor in range(256):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                found.append(descriptor)
        except OSError:
            continue
    return found


@handlers.register("surroundings", executor="process", durable=False)
def surroundings(ctx: SyncRequestContext) -> dict[str, JsonValue]:
    """What a process has inherited."""
    names = [socket.socket(fileno=os.dup(number)).getsockname() for number in sockets()]
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "sockets": [str(name) for name in names],
        "main": threading.current_thread() is threading.main_thread(),
    }


@handlers.register("survivor_process", executor="process")
def survivor_process(ctx: SyncRequestContext) -> JsonValue:
    """Waits for the end of its server after a checkpoint, and then goes on."""
    if ctx.checkpoint is None:
        ctx.chunk(os.getpid(), checkpoint="here")
        ctx.chunk("void")
        while True:
            pass
    return {"attempt": ctx.attempt, "kept_to": ctx.chunks_kept_to, "at": ctx.checkpoint}


@handlers.register("signalled", executor="process")
def signalled(ctx: SyncRequestContext) -> str:
    """Gets the signals that a service manager or a terminal sends to everyone."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(os.getpid(), number)
    return "still here"


@handlers.register("parent", attempts=1, cancel_grace=_GRACE, executor="process")
def parent(ctx: SyncRequestContext) -> None:
    """Starts a program that ends by itself as little as its parent."""
    started = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    ctx.chunk(started.pid)
    started.wait()


@handlers.register("ends_what_it_starts", executor="process")
def ends_what_it_starts(ctx: SyncRequestContext) -> list[int | None]:
    """Ends a program and a fork, as one does."""
    program = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    program.terminate()
    fork = multiprocessing.get_context("fork").Process(target=signal.pause)
    fork.start()
    fork.terminate()
    fork.join()
    return [program.wait(), fork.exitcode]


@handlers.register("quick_process", durable=False, executor="process")
def quick_process(ctx: SyncRequestContext) -> int:
    """Cannot be answered at once."""
    ctx.progress(50)
    return ctx.chunk("first")


@handlers.register("talkative", executor="process")
def talkative(ctx: SyncRequestContext) -> None:
    """Writes everywhere but to its caller."""
    print("printed")
    print("written to standard error", file=sys.stderr)
    logging.getLogger("rogue_app").warning("logged: %d", 42)
    logging.getLogger("rogue_app").debug("nobody wants to know")


@handlers.register("echo_coroutine", durable=False)
async def echo_coroutine(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Answers at once."""
    return payload


def echo(ctx: SyncRequestContext, payload: JsonValue) -> JsonValue:
    """Answers through the log."""
    return payload


handlers.register("echo_thread")(echo)
handlers.register("echo_process", executor="process")(echo)
