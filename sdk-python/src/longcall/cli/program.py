# SPDX-License-Identifier: Apache-2.0
"""What each command of `longcall` does."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from pydantic import JsonValue

from ..asyncio import Client, RequestHandle, connect
from ..errors import (
    DownloadError,
    LongcallError,
    RequestError,
    WaitTimeout,
)
from ..events import Chunk, ClientState, Download, RequestSummary
from ..identifiers import new_request_id
from ..options import Options
from .arguments import parser
from .display import Display, display_for
from .exits import Exit, exit_of


def run(arguments: list[str] | None = None) -> int:
    """Reads the command line and does what it says; returns the exit code."""
    options = parser().parse_args(arguments)
    logging.getLogger("longcall").setLevel(logging.CRITICAL)  # the display says it better
    if getattr(options, "id", "") is None:
        options.id = new_request_id()  # known here, so that Ctrl-C can name it
    display = display_for(is_quiet=options.json, prints_meanwhile=getattr(options, "chunks", False))
    program = Program(options, display)
    try:
        with display:
            code = asyncio.run(program.run())
    except KeyboardInterrupt:
        program.say_how_to_come_back("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Who read our output has gone; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    return code


class NotReachable(Exception):
    """Raised when the first connection is not there in time."""


class Program:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, display: Display) -> None:
        self._options = options
        self._display = display
        self._was_sent = False
        self._last_trouble = ""

    async def run(self) -> Exit:
        """Does the command; errors become words and exit codes."""
        commands: dict[str, Callable[[Client], Awaitable[None]]] = {
            "call": self._call,
            "submit": self._submit,
            "watch": self._watch,
            "result": self._result,
            "list": self._list,
            "cancel": self._cancel,
        }
        try:
            async with self._connected() as client:
                await commands[self._options.command](client)
        except NotReachable as trouble:
            return self._fail(Exit.UNREACHABLE, str(trouble), None)
        except WaitTimeout as error:
            self.say_how_to_come_back(str(error))
            return self._fail(Exit.TIMEOUT, "", error)
        except LongcallError as error:
            return self._fail(exit_of(error), str(error), error)
        except BrokenPipeError:
            raise
        except OSError as error:
            return self._fail(Exit.FAILED, str(error), None)
        return Exit.COMPLETED

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        options = self._options
        client = connect(
            options.url,
            os.environ.get("LONGCALL_TOKEN") or None,
            options=Options(user_agent="longcall-cli"),
            on_state=self._on_state,
        )
        async with client:
            try:
                await client.ready(timeout=options.connect_timeout)
            except WaitTimeout:
                trouble = f": {self._last_trouble}" if self._last_trouble else ""
                raise NotReachable(f"no connection to {options.url}{trouble}") from None
            yield client

    def _on_state(self, state: ClientState) -> None:
        if state.reason:
            self._last_trouble = state.reason
        self._display.state(state)

    def say_how_to_come_back(self, what: str) -> None:
        """Tells where a request is to be found that goes on."""
        request_id = getattr(self._options, "id", None)
        if request_id is None:
            return
        self._display.note(what)
        if self._was_sent:
            self._display.note(f"the request goes on; come back: longcall watch {request_id}")

    def _fail(self, code: Exit, text: str, error: LongcallError | None) -> Exit:
        if self._options.json:
            self._print_json(status=code.name.lower(), error=_error_fields(error, text))
        elif text:
            self._display.note(f"longcall: {text}")
        return code

    # Commands.

    async def _call(self, client: Client) -> None:
        options = self._options
        self._display.note(f"request {options.id}")
        self._was_sent = True
        result = await client.call(
            options.action,
            options.payload,
            on_progress=self._display.event,
            on_chunk=self._on_chunk,
            on_status=self._display.event,
            timeout=options.timeout,
            **self._request_fields(),
        )
        await self._show_result(client.attach(options.id), result)

    async def _submit(self, client: Client) -> None:
        options = self._options
        self._was_sent = True
        handle = await client.submit(
            options.action, options.payload, timeout=options.timeout, **self._request_fields()
        )
        self._display.finish()
        if options.json:
            self._print_json(status="finished" if handle.is_finished else "submitted")
        else:
            print(handle.id)

    def _request_fields(self) -> dict[str, Any]:
        options = self._options
        return {
            "id": options.id,
            "deadline": options.deadline,
            "delay": options.delay,
            "priority": options.priority,
            "metadata": dict(options.metadata) if options.metadata else None,
        }

    async def _watch(self, client: Client) -> None:
        self._was_sent = True
        handle = client.attach(self._options.id)
        try:
            async with asyncio.timeout(self._options.timeout):
                async with aclosing(aiter(handle)) as events:
                    async for event in events:
                        if isinstance(event, Chunk):
                            self._on_chunk(event)
                        else:
                            self._display.event(event)
        except TimeoutError:
            raise WaitTimeout(handle.id, acknowledged=True) from None
        await self._show_result(handle, await handle.result())

    async def _result(self, client: Client) -> None:
        self._was_sent = True
        handle = client.attach(self._options.id)
        await self._show_result(handle, await handle.result(timeout=self._options.timeout))

    async def _list(self, client: Client) -> None:
        options = self._options
        self._display.finish()
        shown = 0
        requests = client.requests(
            status=options.status, action=options.action, page_size=min(options.limit, 200)
        )
        async with aclosing(requests):
            async for request in requests:
                print(
                    json.dumps(_summary_fields(request), ensure_ascii=False)
                    if options.json
                    else _summary_line(request)
                )
                shown += 1
                if shown == options.limit:
                    break
        if not shown:
            self._display.note("no requests")

    async def _cancel(self, client: Client) -> None:
        handle = client.attach(self._options.id)
        await handle.cancel(self._options.reason, timeout=self._options.timeout)
        if self._options.json:
            self._print_json(status="cancel_requested")
        else:
            self._display.note(f"the server has taken the cancel of {handle.id}")

    # Output.

    def _on_chunk(self, event: Chunk) -> None:
        if self._options.chunks:
            print(json.dumps(event.data, ensure_ascii=False), flush=True)
        self._display.event(event)

    async def _show_result(self, handle: RequestHandle, result: JsonValue) -> None:
        download = None
        if self._options.download is not None:
            download = await handle.download(_file_of(result), self._options.download)
        self._display.finish()
        if self._options.json:
            self._print_json(status="completed", result=result, **_download_fields(download))
            return
        print(json.dumps(result, ensure_ascii=False, indent=2), flush=True)
        if download is not None:
            self._display.note(f"{download.path} ({download.size} bytes)")
            self._display.note(f"sha256 {download.sha256}")

    def _print_json(self, **fields: Any) -> None:
        request_id = getattr(self._options, "id", None)
        start = {} if request_id is None else {"id": request_id}
        print(json.dumps({**start, **fields}, ensure_ascii=False), flush=True)


def _file_of(result: JsonValue) -> str:
    """Returns the name of the file that a result names, as `file` or `file.name`."""
    file = result.get("file") if isinstance(result, dict) else None
    if isinstance(file, dict):
        file = file.get("name")
    if not isinstance(file, str):
        raise DownloadError("the result names no file")
    return file


def _download_fields(download: Download | None) -> dict[str, Any]:
    if download is None:
        return {}
    return {"download": {"path": download.path, "size": download.size, "sha256": download.sha256}}


def _error_fields(error: LongcallError | None, text: str) -> dict[str, Any]:
    if isinstance(error, RequestError):
        return {
            "code": error.code,
            "message": error.message,
            "retryable": error.retryable,
            "details": error.details,
            "attempt": error.attempt,
        }
    name = "ConnectionFailed" if error is None else type(error).__name__
    return {"code": name, "message": text or str(error)}


def _summary_line(request: RequestSummary) -> str:
    progress = request.progress
    percentage = "" if progress is None or progress.percentage is None else progress.percentage
    at = request.created_at.strftime("%Y-%m-%d %H:%M:%S")
    share = f" {percentage:.0f} %" if percentage != "" else ""
    return f"{request.id}  {at}  {request.status:<10}  {request.action}{share}"


def _summary_fields(request: RequestSummary) -> dict[str, Any]:
    return {
        "id": request.id,
        "action": request.action,
        "status": request.status,
        "attempt": request.attempt,
        "created_at": request.created_at.isoformat(),
        "updated_at": request.updated_at.isoformat(),
        "last_seq": request.last_seq,
        "percentage": request.progress.percentage if request.progress is not None else None,
    }
