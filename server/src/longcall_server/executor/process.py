# SPDX-License-Identifier: Apache-2.0
"""Handlers with `executor="process"`: a plain `def` in a process of the pool, for what computes.

Its context's writes go through the attempt here, like a thread's: the same fence and limits hold. A
cancel sets its flag over there; a handler that is stopped and does not end has its process killed.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from longcall_server.executor.outcomes import Outcome
from longcall_server.executor.process_channel import (
    Answer,
    Ask,
    AttachFile,
    Checkpoint,
    Chunk,
    DropFile,
    OpenFile,
    Report,
    ReportTaken,
    SealFile,
    Work,
    WorkValue,
    portable,
)
from longcall_server.executor.process_handle import ProcessCall
from longcall_server.executor.process_pool import ProcessPool
from longcall_server.handlers.attempt import Attempt, FileDraft
from longcall_server.handlers.registry import Registration

_BETWEEN_REPORTS: Final = 0.01
"""Seconds from one progress of a handler to the next: a storm of them must not take the loop."""


class ProcessRun:
    """One call of a function in a process of the pool."""

    def __init__(
        self, registration: Registration, attempt: Attempt, processes: ProcessPool
    ) -> None:
        self._registration = registration
        self._attempt = attempt
        self._processes = processes
        self._call: ProcessCall | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._drafts: dict[str, FileDraft] = {}

    async def outcome(self) -> Outcome:
        """Waits for a free process, and for what it does."""
        attempt, place = self._attempt, self._registration.place
        assert place is not None
        self._registration.check()
        self._call = ProcessCall(
            place,
            replace(attempt.call, metadata=dict(attempt.call.metadata)),
            server=attempt.server,
            bounds=attempt.bounds,
            listener=self._listen,
        )
        self._processes.submit(self._call)
        return await self._call.outcome

    def interrupt(self) -> bool:
        """Has the flag set; False if no process has begun."""
        if self._call is None or self._processes.withdraw(self._call):
            return False
        self._call.cancel(self._attempt.cancel_reason)
        return True

    def stop(self) -> bool:
        """Has the process end, or killed; False if none has begun."""
        if self._call is None or self._processes.withdraw(self._call):
            return False
        self._processes.abandon(self._call)
        return True

    def _listen(self, message: Report | Ask) -> None:
        if isinstance(message, Report):
            self._attempt.report(message.members)
            asyncio.get_running_loop().call_later(
                _BETWEEN_REPORTS, self._send, ReportTaken(message.call)
            )
            return
        task = asyncio.create_task(self._answer(message))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, ask: Ask) -> None:
        try:
            answer = Answer(ask.call, ask.number, await self._do(ask.work))
        except Exception as error:
            answer = Answer(ask.call, ask.number, error=portable(error))
        self._send(answer)

    async def _do(self, work: Work) -> WorkValue:
        attempt = self._attempt
        match work:
            case Chunk(data, checkpoint):
                return await attempt.chunk(data, checkpoint)
            case Checkpoint(checkpoint):
                await attempt.save_checkpoint(checkpoint)
            case OpenFile(name, media_type):
                draft = self._drafts[name] = await attempt.open_file(name, media_type)
                return draft.path.absolute()  # a handler may change its folder
            case SealFile(name):
                return await asyncio.to_thread(self._drafts[name].seal)
            case AttachFile(stored):
                attempt.attach_file(stored)
            case DropFile(name):
                attempt.drop_file(name)
                await asyncio.to_thread(self._drafts.pop(name).discard)
        return None

    def _send(self, message: Answer | ReportTaken) -> None:
        assert self._call is not None
        self._call.send(message)
