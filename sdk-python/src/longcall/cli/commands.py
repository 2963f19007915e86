# SPDX-License-Identifier: Apache-2.0
"""What each command of `longcall` does."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from ..asyncio import Client, RequestHandle
from ..errors import ConfigurationError, LongcallError
from ..identifiers import new_request_id
from . import inputs, tokens
from .display import Display, Plain, Quiet
from .exits import Exit, exit_of
from .jobs import Job
from .printer import Printer
from .program import NotReachable, Program
from .settings import ask, resolve

SIGNALS = {signal.SIGINT: Exit.INTERRUPTED, signal.SIGTERM: Exit.TERMINATED}


def run(options: argparse.Namespace) -> Exit:
    """Does what the command line says; returns the exit code."""
    try:
        if options.command == "token":
            return decode_token(options)
        settings = resolve(options, os.environ)
        for warning in settings.warnings:
            print(f"longcall: warning: {warning}", file=sys.stderr)
        display = display_for(options)
        printer = Printer(
            display,
            json=options.json,
            chunks=getattr(options, "chunks", False),
            events=getattr(options, "events", False),
        )
        program = Program(options, settings, display, printer)
        if getattr(options, "events", False) and not options.json:
            raise ConfigurationError("--events needs --json: they are lines for programs")
        program.begin(jobs_of(options))
    except ConfigurationError as error:
        print(f"longcall: {error}", file=sys.stderr)
        return Exit.USAGE
    return asyncio.run(_guarded(program, COMMANDS[options.command]))


def display_for(options: argparse.Namespace) -> Display:
    """Returns a live board on a terminal, plain lines elsewhere, nothing when it must be quiet."""
    from .board import Board  # noqa: PLC0415 - it takes as long to import as all the rest

    if options.json or options.quiet or options.command in ("list", "cancel", "submit"):
        return Quiet()
    # A board and lines that are printed by the hundred would chase each other.
    prints_meanwhile = options.command != "result" and options.chunks and sys.stdout.isatty()
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    return Board() if is_terminal and not prints_meanwhile else Plain()


async def _guarded(program: Program, command: Command) -> Exit:
    """Runs a command; a signal detaches, and a second one ends the program at once."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    received: list[Exit] = []

    def stop(number: signal.Signals) -> None:
        received.append(SIGNALS[number])
        for one in SIGNALS:
            loop.remove_signal_handler(one)
        task.cancel()

    if threading.current_thread() is threading.main_thread():
        with contextlib.suppress(NotImplementedError):  # Windows: KeyboardInterrupt will do
            for number in SIGNALS:
                loop.add_signal_handler(number, stop, number)
    with program.display:
        try:
            return await command(program)
        except asyncio.CancelledError:
            if not received:
                raise
            program.interrupted(received[0])
            return received[0]


async def _connected(program: Program, work: Callable[[Client], Awaitable[Exit]]) -> Exit:
    """Connects and works; what ends both becomes words and an exit code."""
    try:
        async with program.connected() as client:
            return await work(client)
    except LongcallError as error:
        exit = Exit.UNREACHABLE if isinstance(error, NotReachable) else exit_of(error)
        text = program.explain(error)
        program.printer.failure(None, exit, error, text)
        program.say_failure(text)
        return exit


def jobs_of(options: argparse.Namespace) -> list[Job]:
    """Returns the requests that a command line names.

    Raises:
        ConfigurationError: It names more payloads than its one id can stand for.
    """
    if options.command in ("call", "submit"):
        return _submissions(options)
    ids = dict.fromkeys(getattr(options, "ids", ()))

    def attach(id: str) -> Job:
        async def start(client: Client) -> RequestHandle:
            return client.attach(id)

        return Job(0, id, id, start)

    jobs = [attach(id) for id in ids]
    for index, job in enumerate(jobs):
        job.index = index
    return jobs


def _submissions(options: argparse.Namespace) -> list[Job]:
    payloads = [*options.payloads, *(options.lines or ())]
    if not payloads and options.lines is None:
        payloads = [None]
    if options.id is not None and len(payloads) != 1:
        raise ConfigurationError("--id is the id of one request, and there are several payloads")
    fields: dict[str, Any] = {
        "deadline": options.deadline,
        "delay": options.delay,
        "priority": options.priority,
        "metadata": dict(options.metadata) if options.metadata else None,
    }

    def submit(index: int, payload: object) -> Job:
        # Known here, so that Ctrl-C can name it.
        id = options.id if options.id is not None else new_request_id()

        async def start(client: Client) -> RequestHandle:
            return await client.submit(options.action, payload, id=id, **fields)

        label = options.action if len(payloads) == 1 else f"{options.action} {index + 1}"
        return Job(index, id, label, start)

    return [submit(index, payload) for index, payload in enumerate(payloads)]


async def call(program: Program) -> Exit:
    """`call`, `watch` and `result`: from where they start, each request is followed to its end."""
    return await _beside(program, program.follow)


async def submit(program: Program) -> Exit:
    """`submit`: prints each id once the server has stored the request."""

    async def work(client: Client, job: Job) -> None:
        handle = await job.start(client)
        job.is_stored = not handle.is_finished
        if job.is_stored:
            program.complete(job)
            program.printer.submitted(job)
        else:  # a quick action: its result is told now or never
            result = await handle.result()
            program.complete(job)
            program.printer.answered(job, result)

    return await _beside(program, work)


async def cancel(program: Program) -> Exit:
    """`cancel`: returns when the server has taken it."""

    async def work(client: Client, job: Job) -> None:
        handle = await job.start(client)
        await handle.cancel(program.options.reason)
        program.complete(job)
        program.printer.cancelled(job)

    return await _beside(program, work)


async def _beside(program: Program, work: Callable[[Client, Job], Awaitable[None]]) -> Exit:
    if not program.jobs:  # of no lines: whoever made them had nothing to ask for
        return Exit.COMPLETED
    parallel = getattr(program.options, "parallel", len(program.jobs))
    return await _connected(
        program, lambda client: program.beside(lambda job: work(client, job), parallel)
    )


async def list_requests(program: Program) -> Exit:
    """`list`: the newest first, as many as were asked for."""
    options = program.options

    async def work(client: Client) -> Exit:
        found = []
        requests = client.requests(
            status=options.status,
            action=options.action,
            sub=options.sub,
            page_size=min(options.limit, 200),
        )
        async with aclosing(requests):
            async for request in requests:
                found.append(request)
                if len(found) == options.limit:
                    break
        program.printer.requests(found)
        if not found and not options.json:
            program.display.note("no requests")
        return Exit.COMPLETED

    return await _connected(program, work)


def decode_token(options: argparse.Namespace) -> Exit:
    """`token decode`: what a token says, and that nobody has verified it."""
    text = options.token
    if text is not None:
        try:
            text, _ = inputs.text_of(text)
        except argparse.ArgumentTypeError as error:
            raise ConfigurationError(str(error)) from None
    else:
        text = _configured_token(options)
    token = tokens.decode(text)
    printer = Printer(Quiet(), json=options.json)
    now = datetime.now(UTC)
    words = tokens.validity(token, now)
    if options.json:
        printer.line(
            "token", header=token.header, claims=token.claims, verified=False, validity=words
        )
        return Exit.COMPLETED
    printer.value({"header": token.header, "claims": token.claims})
    print(f"{words}\nnot verified: only the server can tell whether it is genuine", file=sys.stderr)
    return Exit.COMPLETED


def _configured_token(options: argparse.Namespace) -> str:
    """Returns the token that a call would use."""
    settings = resolve(options, os.environ, needs_url=False)
    token = asyncio.run(ask(settings.token))
    if token is None:
        raise ConfigurationError("no token is configured: LONGCALL_TOKEN, --token-file, a profile")
    return token


Command = Callable[[Program], Awaitable[Exit]]
COMMANDS: dict[str, Command] = {
    "call": call,
    "watch": call,
    "result": call,
    "submit": submit,
    "cancel": cancel,
    "list": list_requests,
}
