# SPDX-License-Identifier: Apache-2.0
"""The conformance driver of the Python SDK (asyncio); ../README.md says what commands do."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import platform
import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any

import longcall

JsonObject = dict[str, Any]


class UsageError(Exception):
    """The runner asked for something that this driver does not know."""


class Driver:
    """Clients and handles by the names that the runner gave them."""

    def __init__(self, write: Callable[[JsonObject], None]) -> None:
        self._write = write
        self._events = 0
        self._asks = 0
        self._clients: dict[str, longcall.Client] = {}
        self._handles: dict[str, longcall.RequestHandle] = {}
        self._tokens: dict[int, asyncio.Future[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.done = asyncio.Event()

    def emit(self, event: str, **fields: Any) -> None:
        """Sends an event with the next number; fields that are None stay away."""
        self._events += 1
        present = {name: value for name, value in fields.items() if value is not None}
        self._write({"ev": event, "n": self._events, **present})

    async def answer(self, command: JsonObject) -> None:
        """Does one command and replies to it."""
        arguments = {key: value for key, value in command.items() if key not in ("id", "cmd")}
        method = getattr(self, f"do_{command['cmd']}", None)
        try:
            if method is None:
                raise UsageError(f"no command {command['cmd']}")
            answer = await method(**arguments)
            self._write({"re": command["id"], "ok": answer or {}})
        except Exception as error:
            self._write({"re": command["id"], "err": described(error)})
        if command["cmd"] == "bye":
            self.done.set()

    async def do_hello(self) -> JsonObject:
        return {
            "sdk": "longcall-python",
            "version": longcall.__version__,
            "language": f"Python {platform.python_version()}",
            "features": [],
        }

    async def do_connect(
        self, client: str, url: str, token: str | None = None, tuning: JsonObject | None = None
    ) -> None:
        names = {
            "backoff_initial_ms": "backoff_initial",
            "backoff_max_ms": "backoff_maximum",
            "connect_timeout_ms": "open_timeout",
        }
        options: JsonObject = {}
        for name, value in (tuning or {}).items():
            if name == "queue_max_requests":
                options["max_queue"] = value
            else:
                options[names[name]] = value / 1000

        async def ask(reason: str) -> str:
            self._asks += 1
            number = self._asks
            self._tokens[number] = asyncio.get_running_loop().create_future()
            self.emit("token.needed", client=client, ask=number, reason=reason)
            return await self._tokens[number]

        def show(state: longcall.ClientState) -> None:
            wait = None if state.retry_in is None else state.retry_in * 1000
            ready = state.resumed if state.name == longcall.ConnectionState.READY else None
            reason = state.reason or None
            self.emit(
                "connection.state",
                client=client,
                state=str(state.name),
                resumed=ready,
                retry_in_ms=wait,
                code=state.code,
                reason=reason,
            )

        made = longcall.connect(
            url, token or ask, options=longcall.Options(**options), on_state=show
        )
        await made.__aenter__()
        self._clients[client] = made
        show(made.state)

    async def do_submit(self, client: str, handle: str, action: str, **fields: Any) -> None:
        self._start(self._submit(client, handle, action, fields), handle)

    async def _submit(self, client: str, name: str, action: str, fields: JsonObject) -> None:
        handle = await self._clients[client].submit(action, **submission(fields))
        self._handles[name] = handle
        self.emit("handle.acknowledged", handle=name, request_id=handle.id)
        await self._follow(name, handle)

    async def do_call(self, client: str, handle: str, action: str, **fields: Any) -> None:
        self._start(self._call(client, handle, action, fields), handle)

    async def _call(self, client: str, name: str, action: str, fields: JsonObject) -> None:
        def show(event: longcall.Event) -> None:
            self._show(name, event)

        result = await self._clients[client].call(
            action, **submission(fields), on_progress=show, on_chunk=show
        )
        self._write_result(name, result)

    async def do_attach(self, client: str, handle: str, request_id: str) -> None:
        attached = self._clients[client].attach(request_id)
        self._handles[handle] = attached
        self._start(self._follow(handle, attached), handle)

    async def _follow(self, name: str, handle: longcall.RequestHandle) -> None:
        """Reads the events beside the wait for the result."""
        self._start(self._iterate(name, handle), name)
        self._write_result(name, await handle.result())

    async def _iterate(self, name: str, handle: longcall.RequestHandle) -> None:
        try:
            async for event in handle:
                self._show(name, event)
        except longcall.LongcallError as error:
            self.emit("handle.end", handle=name, err=described(error))
        else:
            self.emit("handle.end", handle=name)

    async def do_cancel(self, handle: str, reason: str | None = None) -> None:
        await self._handles[handle].cancel(reason)

    async def do_detach(self, handle: str) -> None:
        self._handles[handle].detach()

    async def do_snapshot(self, handle: str) -> JsonObject:
        snapshot = await self._handles[handle].snapshot()
        shown: JsonObject = {"request": wire(snapshot.request)}
        if snapshot.request.status == "completed":
            shown["result"] = snapshot.result
        if snapshot.error is not None:
            shown["error"] = wire(snapshot.error)
        return {"snapshot": shown}

    async def do_list(self, client: str, **where: Any) -> JsonObject:
        return {"requests": [wire(item) async for item in self._clients[client].requests(**where)]}

    async def do_token(self, ask: int, token: str) -> None:
        self._tokens.pop(ask).set_result(token)

    async def do_token_fail(self, ask: int) -> None:
        self._tokens.pop(ask).set_exception(RuntimeError("the runner says no"))

    async def do_close(self, client: str) -> None:
        await self._clients.pop(client).close()

    async def do_reset(self) -> JsonObject:
        for future in self._tokens.values():
            future.cancel()
        for client in self._clients.values():
            await client.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        self._clients.clear()
        self._handles.clear()
        known = {asyncio.current_task(), *MAIN_TASKS}
        return {"leaks": [str(task) for task in asyncio.all_tasks() - known]}

    do_bye = do_reset

    def _show(self, name: str, event: longcall.Event) -> None:
        kind = type(event).__name__.lower()
        fields = {"status": STATUS, "progress": PROGRESS, "chunk": CHUNK}[kind]
        values = {field: getattr(event, field) for field in fields}
        if kind == "chunk":
            self._events += 1  # a chunk may be null: null is a value
            self._write({"ev": "handle.chunk", "n": self._events, "handle": name, **values})
        else:
            self.emit(f"handle.{kind}", handle=name, **values)

    def _write_result(self, name: str, result: Any) -> None:
        self._events += 1  # a result may be null: null is a value
        self._write({"ev": "handle.result", "n": self._events, "handle": name, "result": result})

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        async def guarded() -> None:
            try:
                await work
            except Exception as error:
                self.emit("handle.error", handle=name, err=described(error))

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


STATUS = ("seq", "status", "attempt", "chunks_kept_to")
PROGRESS = ("attempt", "version", "percentage", "message", "details")
CHUNK = ("seq", "attempt", "data")

MAIN_TASKS: set[asyncio.Task[Any] | None] = set()


def submission(fields: JsonObject) -> JsonObject:
    """The SDK's arguments for what the runner named."""
    given = dict(fields)
    arguments: JsonObject = {"payload": given.pop("payload", None)}
    if "request_id" in given:
        arguments["id"] = given.pop("request_id")
    for name in ("deadline", "delay"):
        if f"{name}_ms" in given:
            arguments[name] = given.pop(f"{name}_ms") / 1000
    return {**arguments, **given}


def described(error: Exception) -> JsonObject:
    """An error by the driver protocol."""
    if isinstance(error, longcall.RequestError):
        shown: JsonObject = {
            "kind": "request",
            "code": error.code,
            "message": error.message,
            "retryable": error.retryable,
            "attempt": error.attempt,
            "executed": error.executed,
            "outcome_unknown": error.outcome_unknown,
            "origin": error.origin,
        }
        if error.request_id is not None:
            shown["request_id"] = error.request_id
        if error.details is not None:
            shown["details"] = error.details
        if error.retry_after is not None:
            shown["retry_after_ms"] = round(error.retry_after * 1000)
        return shown
    kinds: list[tuple[type[Exception], str]] = [
        (longcall.ConnectionClosed, "connection_closed"),
        (longcall.ConfigurationError, "configuration"),
        (longcall.QueueFull, "queue_full"),
        (longcall.WaitTimeout, "wait_timeout"),
        (UsageError, "usage"),
    ]
    kind = next((name for cls, name in kinds if isinstance(error, cls)), "other")
    return {"kind": kind, "message": f"{type(error).__name__}: {error}"}


def wire(value: Any) -> Any:
    """A dataclass of the SDK as an object with the names of the wire."""
    if isinstance(value, datetime):
        return value.isoformat()
    if not dataclasses.is_dataclass(value):
        return value
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: wire(item) for name, item in fields.items() if item is not None}


async def main() -> None:
    """Reads commands until bye or the end of input."""
    MAIN_TASKS.add(asyncio.current_task())
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    def write(message: JsonObject) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    driver = Driver(write)
    answers: set[Awaitable[None]] = set()
    while not driver.done.is_set():
        line = await reader.readline()
        if not line:
            return
        command = json.loads(line)
        task = asyncio.create_task(driver.answer(command))
        answers.add(task)
        task.add_done_callback(answers.discard)
        if command["cmd"] == "bye":
            await task


if __name__ == "__main__":
    asyncio.run(main())
