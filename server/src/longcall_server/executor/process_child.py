# SPDX-License-Identifier: Apache-2.0
"""What runs in a process of the pool: one handler after the other, in the main thread.

A second thread listens to the server. When the channel ends, the server is gone or wants the
process to go: then it goes, whatever its handler does.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import logging
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable
from logging.handlers import QueueHandler
from typing import Any, Final

from pydantic import ValidationError

from longcall_server.executor.outcomes import Outcome, payload_refused, raised, returned
from longcall_server.executor.process_channel import (
    HEADER,
    MAX_RECORD_CHARS,
    Answer,
    Cancel,
    Ended,
    FromProcess,
    Ready,
    Record,
    ReportTaken,
    Start,
    Stop,
    ToProcess,
    body_size,
    frame,
    message_of,
)
from longcall_server.executor.process_port import ChannelPort
from longcall_server.handlers.attempt import AttemptCore
from longcall_server.handlers.signature import Place, Signature, signature_of
from longcall_server.handlers.sync_context import SyncRequestContext
from longcall_server.stores.base import system_clock

_LAST_STEP: Final = 1.0
"""Seconds that an idle process has to end in good order."""
_PR_SET_PDEATHSIG: Final = 1
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(channel: int, parent: int, levels: dict[str, int]) -> None:
    """Serves the channel (a file descriptor) until it ends; `levels` are those of the log."""
    os.set_inheritable(channel, False)
    _die_with(parent)
    connection = socket.socket(fileno=channel)
    # Signals to the whole service, or of a terminal, are the server's: it ends its processes when
    # it is ready to. What a handler starts gets the defaults back.
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    os.register_at_fork(
        # One that is sent to a fork before it has its defaults waits until it has.
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS),
        after_in_child=lambda: _forked(connection),
    )
    faulthandler.enable()
    child = _Child(connection)
    _forward_log(child.send, levels)
    threading.Thread(target=child.listen, name="longcall-channel", daemon=True).start()
    child.send(Ready())
    child.work()


class _Child:
    """The two threads, and what they share."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._sending = threading.Lock()
        self._calls: queue.SimpleQueue[tuple[Start, AttemptCore, ChannelPort] | None] = (
            queue.SimpleQueue()
        )
        self._busy = False
        self._port: ChannelPort | None = None
        self._known: dict[Place, tuple[Callable[..., Any], Signature]] = {}

    def send(self, message: FromProcess) -> None:
        """Tells the server something; any thread may."""
        data = frame(message)
        with self._sending:
            self._channel.sendall(data)

    def work(self) -> None:
        """Runs calls until the channel ends; in the main thread, as some libraries demand."""
        while (call := self._calls.get()) is not None:
            start, core, port = call
            self._busy = True
            outcome = self._run(start, core, port)
            port.flush()
            port.stop()  # for threads that the handler has left behind
            for stream in (sys.stdout, sys.stderr):
                # What a handler prints is seen when it ends, not when its process does.
                with contextlib.suppress(Exception):
                    stream.flush()
            self._busy = False
            self.send(Ended(start.call, outcome))

    def listen(self) -> None:
        """Takes what the server says, and ends the process when it says no more."""
        try:
            while True:
                size = body_size(self._read(HEADER.size))
                self._take(message_of(self._read(size)))
        except (EOFError, OSError):
            self._calls.put(None)
            if not self._busy:
                threading.Event().wait(_LAST_STEP)
        finally:
            os._exit(1)

    def _run(self, start: Start, core: AttemptCore, port: ChannelPort) -> Outcome:
        try:
            function, signature = self._find(start.place, start.request.action)
            arguments: tuple[object, ...] = ()
            if signature.takes_payload:
                try:
                    payload = signature.payload_adapter.validate_json(start.request.payload)
                except ValidationError as error:
                    return payload_refused(error)
                arguments = (payload,)
            value = function(SyncRequestContext(core, port), *arguments)
            return returned(core, value, signature.result_adapter)
        except BaseException as error:
            return raised(core, error)

    def _find(self, place: Place, action: str) -> tuple[Callable[..., Any], Signature]:
        if place not in self._known:
            importlib.import_module(place.module)
            function = place.find()
            self._known[place] = function, signature_of(action, function)
        return self._known[place]

    def _take(self, message: ToProcess) -> None:
        port = self._port
        match message:
            case Start():
                core = AttemptCore(
                    message.request,
                    server=message.server,
                    bounds=message.bounds,
                    clock=system_clock,
                )
                self._port = ChannelPort(message.call, core, self.send)
                self._calls.put((message, core, self._port))
            case _ if port is None or port.call != message.call:
                pass  # It has ended meanwhile.
            case Cancel(reason=reason):
                port.cancel(reason)
            case Stop():
                port.stop()
            case ReportTaken():
                port.report_taken()
            case Answer():
                port.answered(message)

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._channel.recv(size - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)


class _Forward(QueueHandler):
    """Sends log records to the server, whose configuration says what becomes of them."""

    def __init__(self, send: Callable[[FromProcess], None]) -> None:
        super().__init__(queue.SimpleQueue())  # which stays empty: `enqueue` sends
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        fields = {
            name: _plain(value)
            for name, value in vars(record).items()
            if isinstance(value, str | int | float | None)
        }
        fields["msg"] = str(record.msg)[:MAX_RECORD_CHARS]
        with contextlib.suppress(OSError):  # the server has gone
            self._send(Record(fields))


def _plain(value: str | float | None) -> str | float | None:
    """The value without a type of its own, whose module the server would have to import."""
    match value:
        case None | bool():
            return value
        case str():
            return str.__str__(value)
        case int():
            return int.__int__(value)
    return float.__float__(value)


def _forward_log(send: Callable[[FromProcess], None], levels: dict[str, int]) -> None:
    logging.getLogger().handlers[:] = [_Forward(send)]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def _forked(channel: socket.socket) -> None:
    """A fork of a handler's own, as `multiprocessing` makes them, is no process of the pool."""
    # Held by a fork, the channel would not end with this process, and its crash go unnoticed.
    # The object closes it, so that nothing is sent to what gets its number next.
    with contextlib.suppress(OSError):
        channel.close()
    log = logging.getLogger()
    log.handlers[:] = [
        logging.StreamHandler() if isinstance(one, _Forward) else one for one in log.handlers
    ]
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _die_with(parent: int) -> None:
    """Has the kernel end this process with its parent, where it can: on Linux.

    The channel's end tells the same, but a thread that holds the interpreter's lock for minutes, as
    some extensions do, keeps that from being heard.
    """
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  (elsewhere it is of no use)

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
