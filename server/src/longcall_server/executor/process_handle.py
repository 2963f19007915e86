# SPDX-License-Identifier: Apache-2.0
"""One process of the pool as the server sees it: started, given calls, listened to, ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

from longcall_server.executor.outcomes import Outcome
from longcall_server.executor.process_channel import (
    HEADER,
    Answer,
    Ask,
    BadFrame,
    Cancel,
    Ended,
    FromProcess,
    Ready,
    Record,
    Report,
    Start,
    Stop,
    ToProcess,
    body_size,
    frame,
    message_of,
)
from longcall_server.handlers.attempt import Bounds, Call, ServerInfo
from longcall_server.handlers.errors import AttemptFenced
from longcall_server.handlers.signature import Place

GIVE_WAY: Final = 1.0
"""Seconds that a handler has to end when its attempt is stopped, before its process is killed."""
_LOGGERS: Final = ("", "longcall_server")
"""Whose levels a process is told: it need not send what nobody writes down."""
_PROGRAM: Final = """\
import json, sys
sys.path[:], sys.argv[:], channel, parent, levels = json.loads(sys.argv[1])
from longcall_server.executor.process_child import main
main(channel, parent, levels)
"""


class ProcessDied(Exception):
    """The process that ran a handler ended under it: it crashed, or something killed it."""


class ProcessCall:
    """One call that waits for a process or runs in one."""

    def __init__(
        self,
        place: Place,
        request: Call,
        *,
        server: ServerInfo,
        bounds: Bounds,
        listener: Callable[[Report | Ask], None],
    ) -> None:
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        """Its exception is `ProcessDied`."""
        self.listener = listener
        self.owner = request.owner
        self.process: PoolProcess | None = None
        self.number = 0
        self._place = place
        self._request = request
        self._server = server
        self._bounds = bounds

    def begin(self, process: PoolProcess, number: int) -> None:
        """Runs in `process` from now on, as its call of this number."""
        self.process, self.number = process, number
        process.send(Start(number, self._place, self._request, self._server, self._bounds))

    def cancel(self, reason: str | None) -> None:
        """Tells the handler of a cancel."""
        self.send(Cancel(self.number, reason))

    def send(self, message: ToProcess) -> None:
        """Tells the process something, if one runs this."""
        if self.process is not None:
            self.process.send(message)

    def end(self, outcome: Outcome | ProcessDied) -> None:
        """For its process."""
        self.process = None
        if self.outcome.done():
            return
        if isinstance(outcome, ProcessDied):
            self.outcome.set_exception(outcome)
            self.outcome.exception()  # whoever stopped it may not ask any more
        else:
            self.outcome.set_result(outcome)


class PoolProcess:
    """One process. `on_free` is called when it can be given a call, `on_gone` when it has ended."""

    def __init__(
        self,
        *,
        on_free: Callable[[PoolProcess], None],
        on_gone: Callable[[PoolProcess, ProcessDied], None],
    ) -> None:
        self.ready = False
        self.was_ready = False
        self.call: ProcessCall | None = None
        self._on_free = on_free
        self._on_gone = on_gone
        self._numbers = itertools.count(1)
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._closing = False
        self._killed = False
        self._killer: asyncio.TimerHandle | None = None
        self.task = asyncio.create_task(self._serve(), name="longcall process")

    def begin(self, call: ProcessCall) -> None:
        """Gives it a call; it has none."""
        self.call = call
        call.begin(self, next(self._numbers))

    def stop(self) -> None:
        """Tells it that its call is of no account any more, and kills it if that call goes on."""
        if self.call is not None and self._killer is None:
            self.send(Stop(self.call.number))
            self._killer = asyncio.get_running_loop().call_later(GIVE_WAY, self.kill)

    def close(self) -> None:
        """Ends it: in good order if it is idle."""
        self._closing = True
        if self.ready and self.call is None and self._writer is not None:
            self._writer.close()
        else:
            self.kill()

    def kill(self) -> None:
        """Ends it as it stands, with whatever it has started in its group."""
        process = self._process
        if process is not None and process.returncode is None:
            self._killed = True
            # It leads a session of its own, and so a group of processes with its number.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def send(self, message: ToProcess) -> None:
        """Tells it something; what a process that has gone is told is lost."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frame(message))

    async def _serve(self) -> None:
        reason = ""
        try:
            reader = await self._start()
            while not self._closing:
                size = body_size(await reader.readexactly(HEADER.size))
                self._take(message_of(await reader.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except (OSError, BadFrame) as error:
            reason = f" ({error})"
        finally:
            died = await self._end(reason)
            if self.call is not None:
                self.call.end(died)
            self._on_gone(self, died)

    async def _start(self) -> asyncio.StreamReader:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                # Not a fork: this process has threads, an event loop and sockets.
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-P", *(f"-W{option}" for option in sys.warnoptions)),
                    *("-c", _PROGRAM, _arguments(theirs.fileno())),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    # The terminal's Ctrl-C is for the server.
                    start_new_session=True,
                )
                reader, self._writer = await asyncio.open_unix_connection(sock=ours)
            except BaseException:
                ours.close()
                raise
        return reader

    async def _end(self, reason: str) -> ProcessDied:
        self.ready = False
        self._stop_killer()
        if self._writer is not None:
            self._writer.close()
        if self._process is None:
            return ProcessDied(f"no process could be started{reason}")
        if not self._closing:
            # It may live on without its channel; what has ended already is not changed by this.
            self.kill()
        code = await self._process.wait()
        how = f"ended with {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
        return ProcessDied(f"the process {self._process.pid} of the handler {how}{reason}")

    def _take(self, message: FromProcess) -> None:
        call = self.call
        match message:
            case Record(fields):
                record = logging.makeLogRecord(fields)
                logger = logging.getLogger(record.name)
                if logger.isEnabledFor(record.levelno):
                    logger.handle(record)
            case Ready():
                self.ready = self.was_ready = True
                self._on_free(self)
            case Report() | Ask() if call is not None and message.call == call.number:
                call.listener(message)
            case Ask():
                # From a thread that its handler has left behind.
                error = AttemptFenced("the handler has ended")
                self.send(Answer(message.call, message.number, error=error))
            case Ended(outcome=outcome) if call is not None and message.call == call.number:
                self._stop_killer()
                self.call = None
                call.end(outcome)
                if not self._killed:  # else this came in the last moment: another call would die
                    self._on_free(self)

    def _stop_killer(self) -> None:
        if self._killer is not None:
            self._killer.cancel()
            self._killer = None


def _arguments(channel: int) -> str:
    levels = {name: logging.getLogger(name).getEffectiveLevel() for name in _LOGGERS}
    return json.dumps([sys.path, sys.argv, channel, os.getpid(), levels])
