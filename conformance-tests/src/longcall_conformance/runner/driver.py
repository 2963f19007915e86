# SPDX-License-Identifier: Apache-2.0
"""The channel to a driver: commands in, replies and events out, JSON lines over stdio."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import sys
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

JsonObject = dict[str, Any]

LINE_LIMIT = 64 * 1024 * 1024


class DriverCrash(Exception):
    """The driver ended, or said something that is not the driver protocol."""


class CommandFailed(Exception):
    """The driver answered a command with an error."""

    def __init__(self, command: str, error: JsonObject) -> None:
        self.error = error
        super().__init__(f"{command}: {error.get('kind')}: {error.get('message')}")


@cache
def _validator(part: str) -> Draft202012Validator:
    text = resources.files("longcall_conformance").joinpath("driver.schema.json").read_text("utf-8")
    schema = json.loads(text)
    return Draft202012Validator({**schema, "$ref": f"#/$defs/{part}"})


def check(part: str, message: JsonObject) -> None:
    """Raises `DriverCrash` when a message of the driver protocol does not fit its schema."""
    for error in _validator(part).iter_errors(message):
        raise DriverCrash(f"{part} {json.dumps(message)[:300]}: {error.message[:300]}")


class Driver:
    """A driver process. Events go to `on_event`, in the order of their numbers."""

    def __init__(self, command: str, *, cwd: Path) -> None:
        self.command = command
        self._cwd = cwd
        self.on_event: Callable[[JsonObject], None] = lambda _: None
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: dict[int, asyncio.Future[JsonObject]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._last_id = 0
        self._last_n = 0
        self._stderr: list[str] = []
        self.crash: DriverCrash | None = None
        self.crashed = asyncio.Event()

    async def start(self) -> JsonObject:
        """Starts the process and returns what it says of itself."""
        self._process = await asyncio.create_subprocess_exec(
            *shlex.split(self.command),
            cwd=self._cwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT,
        )
        self._tasks = [
            asyncio.create_task(self._read(), name="driver stdout"),
            asyncio.create_task(self._read_stderr(), name="driver stderr"),
        ]
        return await self.ask("hello")

    async def ask(self, command: str, **arguments: Any) -> JsonObject:
        """Sends a command and waits for its reply; raises `CommandFailed` or `DriverCrash`."""
        if self.crash is not None:
            raise self.crash
        assert self._process is not None
        assert self._process.stdin is not None
        self._last_id += 1
        message = {"id": self._last_id, "cmd": command, **arguments}
        check("Command", message)
        reply: asyncio.Future[JsonObject] = asyncio.get_running_loop().create_future()
        self._waiting[self._last_id] = reply
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise DriverCrash("the driver is gone") from None
        answer = await reply
        if "err" in answer:
            raise CommandFailed(command, answer["err"])
        return dict(answer["ok"])

    async def stop(self) -> list[str]:
        """Says bye and waits for the exit; returns what the driver says it left behind."""
        leaks: list[str] = []
        if self._process is None:
            return leaks
        try:
            async with asyncio.timeout(10):
                if self.crash is None:
                    leaks = (await self.ask("bye")).get("leaks", [])
                else:
                    self._process.kill()
                await self._process.wait()
        except (TimeoutError, DriverCrash, CommandFailed, ProcessLookupError) as error:
            leaks = [f"the driver did not end by itself: {error!r}"]
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return leaks

    def stderr(self) -> str:
        """The last lines that the driver wrote to standard error."""
        return "".join(self._stderr[-40:])

    async def _read_stderr(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self._stderr.append(line.decode("utf-8", "replace"))

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                self._take(line)
            code = await self._process.wait()
            raise DriverCrash(f"the driver ended with exit code {code}")
        except (DriverCrash, ValueError) as error:
            crash = error if isinstance(error, DriverCrash) else DriverCrash(str(error))
            self.crash = crash
            self.crashed.set()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(crash)
                    future.exception()

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            raise DriverCrash(f"not a JSON line: {line[:200]!r}") from None
        if not isinstance(message, dict):
            raise DriverCrash(f"not an object: {line[:200]!r}")
        if "re" in message:
            check("Reply", message)
            future = self._waiting.pop(message["re"], None)
            if future is None:
                raise DriverCrash(f"a reply to no open command: {line[:200]!r}")
            future.set_result(message)
            return
        check("Event", message)
        if message["n"] != self._last_n + 1:
            raise DriverCrash(f"event {message['n']} after {self._last_n}")
        self._last_n = message["n"]
        self.on_event(message)


def python_command(script: Path) -> str:
    """The command that runs a Python script with this interpreter."""
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(script))}"
