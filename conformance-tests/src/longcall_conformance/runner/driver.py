# SPDX-License-Identifier: Apache-2.0
"""The channel to a driver: commands in, replies and events out, each a line of JSON.

Both directions are held to `driver.schema.json`. What a driver may not do: end, say what is no
message, answer or tell of what it was not asked for, leave numbers of events out.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator

from .link import Link, NoDriver, link_of
from .page import LineWriter

JsonObject = dict[str, Any]

PROBE_SECONDS: Final = 5
"""How long a driver that seems to hang may take to say hello."""
RESET_SECONDS: Final = 30
START_SECONDS: Final = 60
"""Until it says hello the first time: an interpreter starts slowly on a machine that is busy."""


class DriverCrash(Exception):
    """The driver ended in the middle."""


class DriverHang(Exception):
    """The driver does not answer any more."""


class ProtocolBroken(Exception):
    """The driver said something that is not the driver protocol."""


class CommandFailed(Exception):
    """The driver answered a command with an error."""

    def __init__(self, command: str, error: JsonObject) -> None:
        self.error = error
        super().__init__(f"{command}: {error.get('kind')}: {error.get('message')}")


@cache
def _schema() -> JsonObject:
    text = resources.files("longcall_conformance").joinpath("driver.schema.json").read_text("utf-8")
    return dict(json.loads(text))


@cache
def _validator(part: str, kind: str | None = None) -> Draft202012Validator:
    """Of a part of the schema; with `kind`, of the one alternative that is for it.

    Thousands of events come a second: each is held to its own alternative, not to all of them.
    """
    schema = _schema()
    chosen: JsonObject = {"$ref": f"#/$defs/{part}"}
    name = _NAMED_BY.get(part)
    if name is not None and kind is not None:
        whole = dict(schema["$defs"][part])
        fitting = [one for one in whole["oneOf"] if _is_for(one["properties"][name], kind)]
        if fitting:
            chosen = {**whole, "oneOf": fitting}
    return Draft202012Validator({**chosen, "$defs": schema["$defs"]})


def _is_for(named: JsonObject, kind: str) -> bool:
    return kind == named.get("const") or kind in named.get("enum", ())


_NAMED_BY: Final = {"Event": "ev", "Command": "cmd"}
_OK: Final = {
    "hello": "Hello", "reset": "Leaks", "bye": "Leaks", "list": "Listing", "snapshot": "Snapshot",
}  # fmt: skip


def check(part: str, message: JsonObject) -> None:
    """Raises `ProtocolBroken` when a message does not fit its part of the schema."""
    kind = message.get(_NAMED_BY.get(part, ""))
    validator = _validator(part, kind if isinstance(kind, str) else None)
    for error in validator.iter_errors(message):
        raise ProtocolBroken(f"{part} {json.dumps(message)[:300]}: {error.message[:300]}")


class Driver:
    """One driver. Events go to `on_event`, in the order of their numbers."""

    def __init__(self, command: str, *, cwd: Path) -> None:
        self._link: Link = link_of(command, cwd)
        self.on_event: Callable[[JsonObject], None] = lambda _: None
        self.about: JsonObject = {}
        """What it said of itself."""
        self.failure: DriverCrash | ProtocolBroken | None = None
        self.failed = asyncio.Event()
        self._writer: LineWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[JsonObject]] = {}
        self._last_id = 0
        self._last_n = 0
        self._names: set[tuple[str, str]] = set()
        """Clients and handles that a command has named since the last reset."""

    @property
    def features(self) -> frozenset[str]:
        """What it can do beyond what all can."""
        return frozenset(self.about.get("features", ()))

    async def start(self) -> None:
        """Joins it and has it say what it is."""
        reader, self._writer = await self._link.open()
        self._task = asyncio.create_task(self._read(reader), name="driver")
        try:
            async with asyncio.timeout(START_SECONDS):
                self.about = await self.ask("hello")
        except TimeoutError:
            raise DriverHang(f"it does not answer hello in {START_SECONDS} s") from None
        except CommandFailed as error:
            raise ProtocolBroken(str(error)) from None

    async def ask(self, command: str, **arguments: Any) -> JsonObject:
        """Sends a command and waits for its reply.

        Raises `CommandFailed`, `DriverCrash` and `ProtocolBroken`; waits for as long as it takes.
        """
        if self.failure is not None:
            raise self.failure
        assert self._writer is not None
        self._last_id += 1
        number = self._last_id
        message = {"id": number, "cmd": command, **arguments}
        check("Command", message)
        for kind in ("client", "handle"):
            if kind in arguments and command in ("connect", "submit", "call", "attach"):
                self._names.add((kind, arguments[kind]))
        reply: asyncio.Future[JsonObject] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        try:
            self._writer.write(json.dumps(message).encode() + b"\n")
            await self._writer.drain()
        except (BrokenPipeError, ConnectionResetError):
            await self.failed.wait()
        answer = await reply
        if "err" in answer:
            raise CommandFailed(command, answer["err"])
        ok = dict(answer["ok"])
        check(_OK.get(command, "Nothing"), ok)
        return ok

    async def answers(self) -> bool:
        """Whether it still answers at all."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self.ask("hello")
        except TimeoutError:
            return False
        return True

    async def reset(self) -> list[str]:
        """Has it drop everything; returns what it says it left behind.

        Raises `DriverHang`, `DriverCrash` and `ProtocolBroken`.
        """
        try:
            async with asyncio.timeout(RESET_SECONDS):
                leaks = (await self.ask("reset"))["leaks"]
        except TimeoutError:
            raise DriverHang(f"it does not answer reset in {RESET_SECONDS} s") from None
        except CommandFailed as error:
            raise ProtocolBroken(str(error)) from None
        self._names.clear()
        return list(leaks)

    async def stop(self, *, kill: bool = False) -> str | None:
        """Says bye and waits for its end, or kills it; returns what was wrong with that."""
        wrong = "it was killed" if kill else None
        try:
            if self._writer is not None and self.failure is None and not kill:
                async with asyncio.timeout(RESET_SECONDS):
                    leaks = (await self.ask("bye"))["leaks"]
                wrong = f"left behind at bye: {', '.join(leaks)}" if leaks else None
        except TimeoutError:
            wrong = "it does not answer bye"
        except (DriverCrash, ProtocolBroken, CommandFailed) as error:
            wrong = f"bye: {error}"
        killed = kill or wrong is not None or self.failure is not None
        wrong = await self._link.close(kill=killed) or wrong
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        return wrong

    def wrote(self) -> str:
        """The last lines that it wrote to standard error."""
        return self._link.wrote()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        failure: DriverCrash | ProtocolBroken
        try:
            while line := await reader.readline():
                self._take(line)
            failure = DriverCrash(f"the driver ended: {await self._link.ended()}")
        except ProtocolBroken as error:
            failure = error
        except (ValueError, ConnectionError) as error:
            failure = ProtocolBroken(f"it cannot be read any more: {error!r}")
        self.failure = failure
        self.failed.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(failure)
                future.exception()  # seen: whoever waits is told all the same

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            raise ProtocolBroken(f"not a line of JSON: {line[:200]!r}") from None
        if not isinstance(message, dict):
            raise ProtocolBroken(f"not an object: {line[:200]!r}")
        if "re" in message:
            check("Reply", message)
            future = self._waiting.pop(message["re"], None)
            if future is None:
                raise ProtocolBroken(f"it answers what it was not asked: {line[:200]!r}")
            if not future.done():  # nobody may wait any more
                future.set_result(message)
            return
        check("Event", message)
        if message["n"] != self._last_n + 1:
            raise ProtocolBroken(f"event {message['n']} after {self._last_n}")
        self._last_n = message["n"]
        for kind in ("client", "handle"):
            if kind in message and (kind, message[kind]) not in self._names:
                raise ProtocolBroken(
                    f"it tells of the {kind} {message[kind]}, which it was not asked for: "
                    f"{line[:200]!r}"
                )
        self.on_event(message)


def python_command(script: Path) -> str:
    """The command that runs a Python script with this interpreter."""
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(script))}"


__all__ = [
    "CommandFailed", "Driver", "DriverCrash", "DriverHang", "NoDriver", "ProtocolBroken",
    "python_command",
]  # fmt: skip
