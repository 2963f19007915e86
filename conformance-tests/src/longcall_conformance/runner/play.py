# SPDX-License-Identifier: Apache-2.0
"""Plays one case: does its steps one after the other, and keeps what was seen."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from ..referee.connection import Ended, RefereeConnection
from ..referee.frames import HandshakeRefused
from ..referee.raw_client import open_connection
from ..referee.scripted_server import ScriptedServer
from ..referee.tokens import token_set
from ..referee.welcome import welcome
from .case import Case, fill
from .driver import CommandFailed, Driver
from .manifest import ServerProcess
from .matching import difference, matches, select
from .trace import Trace

JsonObject = dict[str, Any]


class StepFailed(Exception):
    """Something other than what the case says came, or nothing at all."""


class Play:
    """One play of one case. Each verb `a.b` is the method `_a_b`."""

    def __init__(
        self, case: Case, driver: Driver | None, server: ServerProcess | None, secret: str
    ) -> None:
        self.case = case
        self.trace = Trace()
        run = uuid.uuid4().hex[:12]
        self.tokens = token_set(secret, run)
        self.peer: ScriptedServer | None = None
        self.server = server
        self._driver = driver
        if driver is not None:
            driver.on_event = self.take_event
        self._connections: dict[str, RefereeConnection] = {}
        self._aliases: dict[str, str] = {}
        self._read_events: dict[str, int] = {}
        self._event_arrived = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._variables: JsonObject = {f"jwt.{name}": text for name, text in self.tokens.items()}
        self._variables["run"] = run
        self._variables["welcome"] = welcome()

    def take_event(self, event: JsonObject) -> None:
        """Keeps an event of the driver."""
        self.trace.events.append(event)
        self._event_arrived.set()

    def resolve(self, arguments: Any) -> Any:
        """Fills in what was bound."""
        return fill(arguments, self._variables)

    async def run(self) -> None:
        """Does the steps; raises `StepFailed` at the first that does not come true."""
        if self.case.kind == "client":
            self.peer = ScriptedServer(self.trace.frames)
            await self.peer.start()
            self._variables["peer.url"] = self.peer.url
        if self.server is not None:
            self._variables["server.url"] = self.server.url
        for number, step in enumerate(self.case.steps, 1):
            action: Callable[[JsonObject], Awaitable[None]]
            action = getattr(self, "_" + step.verb.replace(".", "_"))
            try:
                async with asyncio.timeout(self.case.seconds):
                    await self._unless_crashed(action(self.resolve(step.arguments)))
            except TimeoutError:
                raise StepFailed(
                    f"step {number} ({step.verb}): nothing came in {self.case.seconds} s"
                ) from None
            except (StepFailed, Ended, CommandFailed, HandshakeRefused) as error:
                raise StepFailed(f"step {number} ({step.verb}): {error}") from None
            if step.verb in self.case.fired:
                self.trace.marks[step.verb] = len(self.trace.events)
        if self.peer is not None:
            self.trace.most_open = self.peer.most_open

    async def _unless_crashed(self, action: Awaitable[None]) -> None:
        """Does a step, but no longer than the driver lives."""
        if self._driver is None:
            await action
            return
        work = asyncio.ensure_future(action)
        crash = asyncio.create_task(self._driver.crashed.wait())
        try:
            await asyncio.wait({work, crash}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and self._driver.crash is not None:
                raise self._driver.crash
            await work
        finally:
            work.cancel()
            crash.cancel()
            await asyncio.gather(work, crash, return_exceptions=True)

    async def end(self) -> None:
        """Lets go of every socket."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for connection in self._connections.values():
            await connection.close()
        if self.peer is not None:
            await self.peer.stop()

    def connection_name(self, alias: str) -> str:
        """The name in the trace of what a case calls `alias`."""
        return self._aliases[alias]

    # The SDK under test.

    async def _ask(self, command: str, arguments: JsonObject) -> JsonObject:
        assert self._driver is not None
        return await self._driver.ask(command, **arguments)

    async def _driver_connect(self, arguments: JsonObject) -> None:
        url = arguments.pop("url", None) or self._variables.get("peer.url") or self._server().url
        token = arguments.pop("token", self.tokens["alice"])
        fixed = {} if token == "ask" else {"token": token}
        client = arguments.pop("as")
        await self._ask("connect", {"client": client, "url": url, **fixed, **arguments})

    async def _driver_submit(self, arguments: JsonObject) -> None:
        await self._ask("submit", arguments)

    async def _driver_call(self, arguments: JsonObject) -> None:
        await self._ask("call", arguments)

    async def _driver_attach(self, arguments: JsonObject) -> None:
        await self._ask("attach", arguments)

    async def _driver_cancel(self, arguments: JsonObject) -> None:
        """Does not wait: the server may have to answer in a later step (`cancel.done` tells)."""
        self._background.add(asyncio.create_task(self._cancel(arguments)))
        await asyncio.sleep(0)

    async def _cancel(self, arguments: JsonObject) -> None:
        done: JsonObject = {"ev": "cancel.done", "handle": arguments["handle"]}
        try:
            await self._ask("cancel", arguments)
        except CommandFailed as error:
            done["err"] = error.error
        self.take_event(done)

    async def _driver_detach(self, arguments: JsonObject) -> None:
        await self._ask("detach", arguments)

    async def _driver_snapshot(self, arguments: JsonObject) -> None:
        answer = await self._ask("snapshot", {"handle": arguments["handle"]})
        self._expect(answer["snapshot"], arguments)

    async def _driver_list(self, arguments: JsonObject) -> None:
        asked = {key: value for key, value in arguments.items() if key not in ("match", "bind")}
        self._expect(await self._ask("list", asked), arguments)

    async def _driver_close(self, arguments: JsonObject) -> None:
        await self._ask("close", arguments)

    async def _driver_token(self, arguments: JsonObject) -> None:
        client = arguments["client"]
        wanted = {"ev": "token.needed", "client": client}
        if "reason" in arguments:
            wanted["match"] = {"reason": arguments["reason"]}
        ask = (await self._next_event(wanted))["ask"]
        if arguments.get("fail"):
            await self._ask("token_fail", {"ask": ask})
        else:
            token = arguments.get("token", self.tokens["alice"])
            await self._ask("token", {"ask": ask, "token": token})

    async def _driver_event(self, arguments: JsonObject) -> None:
        event = await self._next_event(arguments)
        self._bind(event, arguments)

    async def _next_event(self, wanted: JsonObject) -> JsonObject:
        """The next event of this handle or client, and kind, that matches."""
        key = f"{wanted.get('handle') or wanted.get('client')}:{wanted['ev']}"
        while True:
            position = self._read_events.get(key, 0)
            for index in range(position, len(self.trace.events)):
                event = self.trace.events[index]
                self._read_events[key] = index + 1
                if self._is_wanted(event, wanted):
                    return event
            self._event_arrived.clear()
            await self._event_arrived.wait()

    @staticmethod
    def _is_wanted(event: JsonObject, wanted: JsonObject) -> bool:
        names = ("ev", "handle", "client")
        same = all(event.get(name) == wanted[name] for name in names if name in wanted)
        return same and matches(event, wanted.get("match", {}))

    # The scripted server.

    async def _peer_accept(self, arguments: JsonObject) -> None:
        assert self.peer is not None
        self._keep(arguments["as"], await self.peer.accept())

    async def _peer_refuse(self, arguments: JsonObject) -> None:
        assert self.peer is not None
        self.peer.refuse_next(arguments["status"], arguments.get("headers", ""))

    async def _peer_expect(self, arguments: JsonObject) -> None:
        await self._receive(arguments)
        if "reply" in arguments:
            self._connections[arguments["on"]].send(self.resolve(arguments["reply"]))

    async def _peer_send(self, arguments: JsonObject) -> None:
        self._connections[arguments["on"]].send(arguments["message"])

    async def _peer_send_text(self, arguments: JsonObject) -> None:
        self._connections[arguments["on"]].send_text(arguments["text"].encode())

    async def _peer_drop(self, arguments: JsonObject) -> None:
        await self._connections[arguments["on"]].drop(arguments["how"])

    async def _peer_expect_end(self, arguments: JsonObject) -> None:
        ended = await self._connections[arguments["on"]].receive_end()
        if "code" in arguments and ended.code != arguments["code"]:
            raise StepFailed(f"ended with {ended.code}, not {arguments['code']}")

    # The hand-made client.

    async def _raw_connect(self, arguments: JsonObject) -> None:
        name = arguments["as"]
        options = {k: v for k, v in arguments.items() if k in ("subprotocol", "headers")}
        url = self._server().url
        self._keep(name, await open_connection(url, name, self.trace.frames, **options))

    async def _raw_refused(self, arguments: JsonObject) -> None:
        options = {k: v for k, v in arguments.items() if k in ("subprotocol", "headers")}
        try:
            connection = await open_connection(
                self._server().url, "refused", self.trace.frames, **options
            )
        except HandshakeRefused as error:
            if error.status != arguments["status"]:
                raise
            return
        await connection.close()
        raise StepFailed("the upgrade was accepted")

    async def _raw_send(self, arguments: JsonObject) -> None:
        self._connections[arguments["on"]].send(arguments["message"])

    async def _raw_send_text(self, arguments: JsonObject) -> None:
        self._connections[arguments["on"]].send_text(arguments["text"].encode())

    async def _raw_send_bytes(self, arguments: JsonObject) -> None:
        self._connections[arguments["on"]].send_text(bytes.fromhex(arguments["hex"]))

    async def _raw_send_large(self, arguments: JsonObject) -> None:
        head, tail = b'{"type":"ping","x":"', b'"}'
        size = int(arguments["bytes"]) - len(head) - len(tail)
        self._connections[arguments["on"]].send_text(head + b"a" * size + tail)

    async def _raw_send_binary(self, arguments: JsonObject) -> None:
        self._connections[arguments["on"]].send_binary(arguments["text"].encode())

    async def _raw_expect(self, arguments: JsonObject) -> None:
        await self._receive(arguments)

    async def _raw_expect_end(self, arguments: JsonObject) -> None:
        await self._peer_expect_end(arguments)

    async def _raw_drop(self, arguments: JsonObject) -> None:
        await self._peer_drop(arguments)

    # The process of the server.

    async def _server_kill(self, arguments: JsonObject) -> None:
        await self._server().kill(arguments["how"])

    async def _server_start(self, arguments: JsonObject) -> None:
        await self._server().start()

    # What they share.

    def _server(self) -> ServerProcess:
        if self.server is None:
            raise StepFailed("the case has no server under test")
        return self.server

    def _keep(self, alias: str, connection: RefereeConnection) -> None:
        self._connections[alias] = connection
        self._aliases[alias] = connection.name

    async def _receive(self, arguments: JsonObject) -> None:
        """The next message must be the one that the case names; `skip` names types to pass over."""
        connection = self._connections[arguments["on"]]
        while True:
            message = await connection.receive()
            if message.get("type") not in arguments.get("skip", ()):
                break
        if message.get("type") != arguments["type"]:
            raise StepFailed(f"got {message!r:.300}, not {arguments['type']}")
        self._expect(message, arguments)
        for key in arguments.get("absent", ()):
            if key in message:
                raise StepFailed(f"{key} is there: {message[key]!r:.200}")

    def _expect(self, value: JsonObject, arguments: JsonObject) -> None:
        if not matches(value, arguments.get("match", {})):
            raise StepFailed(difference(value, arguments["match"]))
        self._bind(value, arguments)

    def _bind(self, value: JsonObject, arguments: JsonObject) -> None:
        for name, path in arguments.get("bind", {}).items():
            try:
                self._variables[name] = select(value, path)
            except (KeyError, IndexError):
                raise StepFailed(f"{path} is not in {value!r:.300}") from None
