# SPDX-License-Identifier: Apache-2.0
"""The conformance driver of the Python SDK without asyncio; ../README.md says what commands do."""

from __future__ import annotations

import json
import platform
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any

# What both drivers of Python show alike stands beside the other one.
sys.path.insert(0, str(Path(__file__).parents[1] / "python"))

from shown import CHUNK, PROGRESS, STATUS, UsageError, described, submission, wire

import longcall

JsonObject = dict[str, Any]
HANDED: ContextVar[threading.Event | None] = ContextVar("handed", default=None)
"""Set once the SDK has what the thread asks of it, so that the next command comes behind it."""


def go_on() -> None:
    """Lets the next command begin."""
    if handed := HANDED.get():
        handed.set()


def clock() -> float:
    """The SDK's own clock. What it does for a thread it does in its context: that is heard now."""
    go_on()
    return longcall.Options().clock()


class Driver:
    """Clients and handles by the names that the runner gave them; each wait has its own thread."""

    def __init__(self, write: Callable[[JsonObject], None]) -> None:
        self._write = write
        self._events = 0
        self._telling = threading.Lock()
        self._asks = count(1)
        self._clients: dict[str, longcall.sync.Client] = {}
        self._handles: dict[str, longcall.sync.RequestHandle] = {}
        self._tokens: dict[int, SimpleQueue[str | None]] = {}
        self._threads: set[threading.Thread] = set()
        self._states: dict[str, str] = {}
        self._state_changed = threading.Condition()
        self._taking: dict[str, threading.Event] = {}  # set: the application takes events
        self._pauses: dict[str, float] = {}

    def emit(self, event: str, **fields: Any) -> None:
        """Sends an event with the next number; what is None stays away, if null is no value."""
        values = ("data", "result")
        present = {name: it for name, it in fields.items() if it is not None or name in values}
        with self._telling:
            self._events += 1
            self._write({"ev": event, "n": self._events, **present})

    def answer(self, command: JsonObject) -> None:
        """Does one command and replies to it."""
        arguments = {key: value for key, value in command.items() if key not in ("id", "cmd")}
        method = getattr(self, f"do_{command['cmd']}", None)
        try:
            if method is None:
                raise UsageError(f"no command {command['cmd']}")
            reply = {"re": command["id"], "ok": method(**arguments) or {}}
        except Exception as error:
            reply = {"re": command["id"], "err": described(error)}
        with self._telling:
            self._write(reply)

    def do_hello(self) -> JsonObject:
        return {
            "sdk": "longcall-python-sync",
            "version": longcall.__version__,
            "language": f"Python {platform.python_version()}",
            "features": ["announcement", "consume", "http_status", "wait_state"],
        }

    def do_connect(
        self, client: str, url: str, token: str | None = None, tuning: JsonObject | None = None
    ) -> None:
        given = (tuning or {}).items()
        options = {OPTIONS[name]: v if name in COUNTS else v / 1000 for name, v in given}

        def ask(reason: str) -> str:
            number = next(self._asks)
            answers = self._tokens[number] = SimpleQueue()
            self.emit("token.needed", client=client, ask=number, reason=reason)
            if (answer := answers.get()) is None:
                raise RuntimeError("the runner says no")
            return answer

        def tell(said: longcall.Announcement) -> None:
            self.emit("announcement", client=client, message=said.message, details=said.details)

        chosen = longcall.Options(**options, clock=clock)
        made = longcall.sync.connect(
            url,
            token or ask,
            options=chosen,
            on_announcement=tell,
            on_state=partial(self._show_state, client),
        )
        self._clients[client] = made
        # The first one is no change; to ask for it would begin, and others might come before it.
        self._show_state(client, longcall.ClientState(longcall.ConnectionState.CONNECTING))
        made.__enter__()

    def _show_state(self, client: str, state: longcall.ClientState) -> None:
        self.emit(
            "connection.state",
            client=client,
            state=str(state.name),
            resumed=state.resumed if state.name == longcall.ConnectionState.READY else None,
            retry_in_ms=None if state.retry_in is None else state.retry_in * 1000,
            code=state.code,
            reason=state.reason or None,
        )
        with self._state_changed:
            self._states[client] = str(state.name)
            self._state_changed.notify_all()

    def do_wait_state(self, client: str, state: str) -> None:
        go_on()
        with self._state_changed:
            self._state_changed.wait_for(lambda: self._states.get(client, state) == state)

    def do_consume(self, handle: str, how: str, every_ms: int = 100) -> None:
        self._pauses[handle] = every_ms / 1000 if how == "slow" else 0
        gate = self._taking.setdefault(handle, threading.Event())
        gate.clear() if how == "stop" else gate.set()

    def do_submit(self, client: str, handle: str, action: str, **fields: Any) -> None:
        self._work(handle, partial(self._submit, client, handle, action, fields))

    def _submit(self, client: str, name: str, action: str, fields: JsonObject) -> None:
        handle = self._clients[client].submit(action, **submission(fields))
        self._handles[name] = handle
        self.emit("handle.acknowledged", handle=name, request_id=handle.id)
        self._follow(name, handle)

    def do_call(self, client: str, handle: str, action: str, **fields: Any) -> None:
        self._work(handle, lambda: self._call(client, handle, action, fields))

    def _call(self, client: str, name: str, action: str, fields: JsonObject) -> None:
        def show(event: longcall.Event) -> None:
            self._show(name, event)

        result = self._clients[client].call(
            action, **submission(fields), on_progress=show, on_chunk=show
        )
        self.emit("handle.result", handle=name, result=result)

    def do_attach(self, client: str, handle: str, request_id: str) -> None:
        attached = self._clients[client].attach(request_id)
        self._handles[handle] = attached
        self._work(handle, lambda: self._follow(handle, attached))

    def _follow(self, name: str, handle: longcall.sync.RequestHandle) -> None:
        """Reads the events beside the wait for the result."""
        self._work(name, lambda: self._iterate(name, handle))
        self.emit("handle.result", handle=name, result=handle.result())

    def _iterate(self, name: str, handle: longcall.sync.RequestHandle) -> None:
        try:
            for event in handle:
                if name in self._taking:
                    time.sleep(self._pauses[name])
                    self._taking[name].wait()
                self._show(name, event)
        except longcall.LongcallError as error:
            self.emit("handle.end", handle=name, err=described(error))
        else:
            self.emit("handle.end", handle=name)

    def do_cancel(self, handle: str, reason: str | None = None) -> None:
        self._handles[handle].cancel(reason)

    def do_detach(self, handle: str) -> None:
        self._handles[handle].detach()

    def do_snapshot(self, handle: str) -> JsonObject:
        snapshot = self._handles[handle].snapshot()
        shown: JsonObject = {"request": wire(snapshot.request)}
        if snapshot.request.status == "completed":
            shown["result"] = snapshot.result
        if snapshot.error is not None:
            shown["error"] = wire(snapshot.error)
        return {"snapshot": shown}

    def do_list(self, client: str, **where: Any) -> JsonObject:
        return {"requests": [wire(item) for item in self._clients[client].requests(**where)]}

    def do_token(self, ask: int, token: str) -> None:
        self._tokens.pop(ask).put(token)

    def do_token_fail(self, ask: int) -> None:
        self._tokens.pop(ask).put(None)

    def do_close(self, client: str) -> None:
        self._clients.pop(client).close()

    def do_reset(self) -> JsonObject:
        for asked in tuple(self._tokens.values()):
            asked.put(None)
        for gate in self._taking.values():
            gate.set()
        for client in tuple(self._clients.values()):
            client.close()
        ends = time.monotonic() + 5
        for thread in tuple(self._threads - {threading.current_thread()}):
            thread.join(max(0, ends - time.monotonic()))
        self._clients.clear()
        for kept in (self._handles, self._tokens, self._states, self._taking, self._pauses):
            kept.clear()
        left = self._threads - {threading.current_thread()}
        ours = [it for it in threading.enumerate() if it.name.startswith("longcall")]
        return {"leaks": [str(thread) for thread in (*left, *ours)]}

    do_bye = do_reset

    def _show(self, name: str, event: longcall.Event) -> None:
        kind = type(event).__name__.lower()
        fields = {"status": STATUS, "progress": PROGRESS, "chunk": CHUNK}[kind]
        values = {field: getattr(event, field) for field in fields}
        self.emit(f"handle.{kind}", handle=name, **values)

    def _work(self, name: str, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:
                self.emit("handle.error", handle=name, err=described(error))

        self.start(guarded, f"handle {name}")

    def start(self, work: Callable[[], None], name: str) -> threading.Thread:
        """Does something in a thread; returns when the SDK has been asked, or it is done."""
        handed = threading.Event()

        def live() -> None:
            HANDED.set(handed)
            try:
                work()
            finally:
                self._threads.discard(thread)
                handed.set()

        thread = threading.Thread(target=live, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()
        handed.wait()
        return thread


OPTIONS = {
    "backoff_initial_ms": "backoff_initial",
    "backoff_max_ms": "backoff_maximum",
    "connect_timeout_ms": "open_timeout",
    "queue_max_requests": "max_queue",
}
COUNTS = ("queue_max_requests",)


def main() -> None:
    """Reads commands until bye or the end of input."""
    source: Any = sys.stdin.buffer
    sink: Any = sys.stdout.buffer
    if "--connect" in sys.argv:
        host, _, port = sys.argv[-1].rpartition(":")
        connection = socket.create_connection((host, int(port)))
        source, sink = connection.makefile("rb"), connection.makefile("wb")

    def write(message: JsonObject) -> None:
        sink.write(json.dumps(message).encode() + b"\n")
        sink.flush()

    driver = Driver(write)
    for line in source:
        command = json.loads(line)
        answering = driver.start(partial(driver.answer, command), f"command {command['cmd']}")
        if command["cmd"] == "bye":
            answering.join()
            return


if __name__ == "__main__":
    main()
