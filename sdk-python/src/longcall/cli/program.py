# SPDX-License-Identifier: Apache-2.0
"""One run of `longcall` that talks to a server: connects, follows its requests, tells the end."""

from __future__ import annotations

import argparse
import asyncio
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

from pydantic import JsonValue

from ..asyncio import Client, RequestHandle, connect
from ..errors import ConnectionClosed, DownloadError, LongcallError, WaitTimeout
from ..events import ClientState, Download
from ..options import Options, TokenReason
from .display import Display
from .exits import Exit, exit_of, exit_of_all
from .jobs import Job
from .printer import Printer
from .settings import Settings, ask
from .words import clean, error_text


class NotReachable(LongcallError):
    """Raised when the first connection is not there in time."""


class Program:
    """Follows requests, shows how they go, and knows how each of them ended."""

    def __init__(
        self, options: argparse.Namespace, settings: Settings, display: Display, printer: Printer
    ) -> None:
        self.options = options
        self.display = display
        self.printer = printer
        self._settings = settings
        self.jobs: list[Job] = []
        self._trouble = ""
        self._token_trouble = ""

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        """Gives a client whose first connection is there.

        Raises:
            NotReachable: It is not there within the time for it.
            ConnectionClosed: The server does not let this token in.
        """
        settings = self._settings
        client = connect(
            settings.url,
            self._token if callable(settings.token) else settings.token,
            options=Options(user_agent="longcall-cli"),
            on_state=self._on_state,
        )
        async with client:
            try:
                await client.ready(timeout=settings.connect_timeout)
            except WaitTimeout:
                why = self._token_trouble or self._trouble
                raise NotReachable(
                    f"no connection to {settings.url}{f': {clean(why)}' if why else ''}"
                ) from None
            yield client

    async def _token(self, reason: TokenReason) -> str:
        try:
            return await ask(self._settings.token, reason) or ""
        except LongcallError as error:
            self._token_trouble = str(error)  # the client tells its kind only
            raise

    def _on_state(self, state: ClientState) -> None:
        if state.reason:
            self._trouble = state.reason
        self.display.state(state)

    async def beside(self, work: Callable[[Job], Awaitable[None]], parallel: int) -> Exit:
        """Does the work of each request, so many at once; returns the exit code for all."""
        turns = asyncio.Semaphore(parallel)
        is_pipe_broken = False

        async def one(job: Job) -> None:
            async with turns, self._ending(job):
                self.display.start(job)
                job.is_sent = True
                await work(job)

        try:
            async with asyncio.TaskGroup() as group:
                for job in self.jobs:
                    group.create_task(one(job))
        except* BrokenPipeError:
            is_pipe_broken = True
        if is_pipe_broken:
            raise BrokenPipeError
        return exit_of_all(job.exit for job in self.jobs if job.exit is not None)

    async def follow(self, client: Client, job: Job) -> None:
        """Follows one request to its end: its events, its result, its file."""
        handle = await job.start(client)
        job.is_stored = True
        async with aclosing(aiter(handle)) as events:
            async for event in events:
                self.display.event(job, event)
                self.printer.event(job, event)
        result = await handle.result()
        download = await self._download(handle, result)
        self.complete(job)
        self.printer.result(job, result, download)

    @asynccontextmanager
    async def _ending(self, job: Job) -> AsyncIterator[None]:
        """Whatever ends a request otherwise than well is told, and ends no other."""
        try:
            async with asyncio.timeout(self.options.timeout) as patience:
                yield
        except TimeoutError as error:
            if patience.expired():
                self._fail(job, WaitTimeout(job.id, acknowledged=job.is_stored))
                self.say_how_to_come_back([job])
            else:
                self._fail(job, error)
        except BrokenPipeError:
            raise
        except (LongcallError, OSError) as error:
            self._fail(job, error)
            if isinstance(error, ConnectionClosed) and job.is_stored:
                self.say_how_to_come_back([job])

    async def _download(self, handle: RequestHandle, result: JsonValue) -> Download | None:
        folder = getattr(self.options, "download", None)
        return None if folder is None else await handle.download(_file_of(result), folder)

    def complete(self, job: Job) -> None:
        """All that was wanted of a request is there."""
        job.exit = Exit.COMPLETED
        self.display.end(job, job.exit)

    def _fail(self, job: Job, error: LongcallError | OSError) -> None:
        """A request ended otherwise than well, or is not waited for any more."""
        known = error if isinstance(error, LongcallError) else None
        job.exit = Exit.FAILED if known is None else exit_of(known)
        text = clean(str(error)) if known is None else error_text(known)
        self.display.end(job, job.exit)
        self.printer.failure(job, job.exit, known, text)
        name = f"{clean(job.label)}: " if len(self.jobs) > 1 else ""
        self.say_failure(f"{name}{text}")

    def say_failure(self, text: str) -> None:
        """For people; programs have their line on standard output."""
        if not self.options.json:
            self.display.note(f"longcall: {text}")

    def explain(self, error: LongcallError) -> str:
        """What ended the connection, in words, with what might help."""
        text = error_text(error)
        if isinstance(error, ConnectionClosed) and self._settings.token is None:
            text += "; no token was given: LONGCALL_TOKEN, --token-file, or a profile"
        return text

    def begin(self, jobs: list[Job]) -> None:
        """These are the requests of this run."""
        self.jobs = jobs
        self.display.begin(jobs)

    def interrupted(self, exit: Exit) -> None:
        """Somebody ended this program: what was sent goes on, and is said to."""
        left = [job for job in self.jobs if job.exit is None]
        for job in left:
            job.exit = exit
            self.display.end(job, exit, "goes on" if job.is_sent else "not sent")
            self.printer.failure(job, exit, None, exit.outcome)
        self.say_how_to_come_back(left)

    def say_how_to_come_back(self, jobs: list[Job]) -> None:
        """Tells the command that finds again what goes on without us."""
        sent = [job for job in jobs if job.is_sent]
        if unsent := len(jobs) - len(sent):
            self.display.note(f"{_requests(unsent)} not sent")
        if not sent:
            return
        are_known = all(job.is_stored for job in sent)
        several = len(sent) > 1
        if are_known:
            text = "the requests go on" if several else "the request goes on"
        else:
            text = "what has reached the server goes on"
        words = ["longcall", "watch", *(job.id for job in sent), *self._settings.words]
        self.display.note(f"{text}; come back: {shlex.join(words)}")


def _requests(count: int) -> str:
    return "1 request was" if count == 1 else f"{count} requests were"


def _file_of(result: JsonValue) -> str:
    """Returns the name of the file that a result names, as `file` or `file.name`."""
    file = result.get("file") if isinstance(result, dict) else None
    if isinstance(file, dict):
        file = file.get("name")
    if not isinstance(file, str):
        raise DownloadError("the result names no file")
    return file
