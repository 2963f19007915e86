# SPDX-License-Identifier: Apache-2.0
"""The conformance driver of the Python SDK (asyncio); ../README.md says what commands do."""

from __future__ import annotations

import asyncio
import json
import platform
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from shown import CHUNK, PROGRESS, STATUS, UsageError, described, sockets, submission, threads, wire

import longcall

JsonObject = dict[str, Any]


class Driver:
    """Clients and handles by the names that the runner gave them."""

    def __init__(self, write: Callable[[JsonObject], None]) -> None:
        self._write = write
        self._main = asyncio.current_task()
        self._own_sockets = sockets()
        self._events = 0
        self._asks = 0
        self._clients: dict[str, longcall.Client] = {}
        self._handles: dict[str, longcall.RequestHandle] = {}
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._tokens: dict[int, asyncio.Future[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._states: dict[str, str] = {}
        self._state_changed = asyncio.Event()
        self._taking: dict[str, asyncio.Event] = {}  # set: the application takes events
        self._pauses: dict[str, float] = {}

    def emit(self, event: str, **fields: Any) -> None:
        """Sends an event with the next number; what is None stays away, if null is no value."""
        self._events += 1
        values = ("data", "result")
        present = {name: it for name, it in fields.items() if it is not None or name in values}
        self._write({"ev": event, "n": self._events, **present})

    async def answer(self, command: JsonObject) -> None:
        """Does one command and replies to it."""
        arguments = {key: value for key, value in command.items() if key not in ("id", "cmd")}
        method = getattr(self, f"do_{command['cmd']}", None)
        try:
            if method is None:
                raise UsageError(f"no command {command['cmd']}")
            self._write({"re": command["id"], "ok": await method(**arguments) or {}})
        except Exception as error:
            self._write({"re": command["id"], "err": described(error)})

    async def do_hello(self) -> JsonObject:
        return {
            "sdk": "longcall-python",
            "version": longcall.__version__,
            "language": f"Python {platform.python_version()}",
            "features": ["announcement", "consume", "give_up", "http_status", "wait_state"],
        }

    async def do_connect(
        self, client: str, url: str, token: str | None = None, tuning: JsonObject | None = None
    ) -> None:
        given = (tuning or {}).items()
        options = {OPTIONS[name]: v if name in COUNTS else v / 1000 for name, v in given}

        async def ask(reason: str) -> str:
            self._asks += 1
            number = self._asks
            self._tokens[number] = asyncio.get_running_loop().create_future()
            self.emit("token.needed", client=client, ask=number, reason=reason)
            return await self._tokens[number]

        def show(state: longcall.ClientState) -> None:
            self._states[client] = str(state.name)
            self._state_changed.set()
            self.emit(
                "connection.state",
                client=client,
                state=str(state.name),
                resumed=state.resumed if state.name == longcall.ConnectionState.READY else None,
                retry_in_ms=None if state.retry_in is None else state.retry_in * 1000,
                code=state.code,
                reason=state.reason or None,
            )

        def tell(announcement: longcall.Announcement) -> None:
            said = {"message": announcement.message, "details": announcement.details}
            self.emit("announcement", client=client, **said)

        chosen = longcall.Options(**options)
        made = longcall.connect(
            url, token or ask, options=chosen, on_state=show, on_announcement=tell
        )
        await made.__aenter__()
        self._clients[client] = made
        show(made.state)

    async def do_wait_state(self, client: str, state: str) -> None:
        while self._states[client] != state:
            self._state_changed.clear()
            await self._state_changed.wait()

    async def do_consume(self, handle: str, how: str, every_ms: int = 100) -> None:
        self._pauses[handle] = every_ms / 1000 if how == "slow" else 0
        gate = self._taking.setdefault(handle, asyncio.Event())
        gate.clear() if how == "stop" else gate.set()

    async def do_submit(self, client: str, handle: str, action: str, **fields: Any) -> None:
        self._start(self._submit(client, handle, action, fields), handle)

    async def _submit(self, client: str, name: str, action: str, fields: JsonObject) -> None:
        handle = await self._clients[client].submit(action, **submission(fields))
        self._handles[name] = handle
        self.emit("handle.acknowledged", handle=name, request_id=handle.id)
        await self._follow(name, handle)

    async def do_call(self, client: str, handle: str, action: str, **fields: Any) -> None:
        self._calls[handle] = self._start(self._call(client, handle, action, fields), handle)

    async def do_give_up(self, handle: str) -> None:
        self._calls[handle].cancel()
        await asyncio.wait({self._calls[handle]})

    async def _call(self, client: str, name: str, action: str, fields: JsonObject) -> None:
        def show(event: longcall.Event) -> None:
            self._show(name, event)

        result = await self._clients[client].call(
            action, **submission(fields), on_progress=show, on_chunk=show
        )
        self.emit("handle.result", handle=name, result=result)

    async def do_attach(self, client: str, handle: str, request_id: str) -> None:
        attached = self._clients[client].attach(request_id)
        self._handles[handle] = attached
        self._start(self._follow(handle, attached), handle)

    async def _follow(self, name: str, handle: longcall.RequestHandle) -> None:
        """Reads the events beside the wait for the result."""
        self._start(self._iterate(name, handle), name)
        self.emit("handle.result", handle=name, result=await handle.result())

    async def _iterate(self, name: str, handle: longcall.RequestHandle) -> None:
        try:
            async for event in handle:
                if name in self._taking:
                    await asyncio.sleep(self._pauses[name])
                    await self._taking[name].wait()
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
        for gate in self._taking.values():
            gate.set()
        for client in self._clients.values():
            await client.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        self._clients.clear()
        for kept in (
            self._handles,
            self._calls,
            self._tokens,
            self._states,
            self._taking,
            self._pauses,
        ):
            kept.clear()
        for _ in range(100):  # what has been closed ends in later turns of the loop
            left = asyncio.all_tasks() - {asyncio.current_task(), self._main}
            leaks = [*map(str, left), *threads(), *(sockets() - self._own_sockets)]
            if not leaks:
                break
            await asyncio.sleep(0.02)
        return {"leaks": leaks}

    do_bye = do_reset

    def _show(self, name: str, event: longcall.Event) -> None:
        kind = type(event).__name__.lower()
        fields = {"status": STATUS, "progress": PROGRESS, "chunk": CHUNK}[kind]
        values = {field: getattr(event, field) for field in fields}
        self.emit(f"handle.{kind}", handle=name, **values)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        async def guarded() -> None:
            try:
                await work
            except Exception as error:
                self.emit("handle.error", handle=name, err=described(error))

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


OPTIONS = {
    "backoff_initial_ms": "backoff_initial",
    "backoff_max_ms": "backoff_maximum",
    "connect_timeout_ms": "open_timeout",
    "queue_max_requests": "max_queue",
}
COUNTS = ("queue_max_requests",)


async def main() -> None:
    """Reads commands until bye or the end of input."""
    limit = 64 * 1024 * 1024
    sink: Any = sys.stdout.buffer
    if "--connect" in sys.argv:
        host, _, port = sys.argv[-1].rpartition(":")
        reader, sink = await asyncio.open_connection(host, int(port), limit=limit)
    else:
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    def write(message: JsonObject) -> None:
        sink.write(json.dumps(message).encode() + b"\n")
        if sink is sys.stdout.buffer:
            sink.flush()

    driver, answers = Driver(write), set[asyncio.Task[None]]()
    while line := await reader.readline():
        command = json.loads(line)
        task = asyncio.create_task(driver.answer(command))
        answers.add(task)
        task.add_done_callback(answers.discard)
        if command["cmd"] == "bye":
            await task
            return


if __name__ == "__main__":
    asyncio.run(main())
