# SPDX-License-Identifier: Apache-2.0
"""Plays one case: does its steps one after the other, and keeps what was seen.

What a step does stands in `verbs/`; here is what steps share.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ..referee.connection import Ended, RefereeConnection
from ..referee.fault_proxy import FaultProxy
from ..referee.handshake import HandshakeRefused
from ..referee.scripted_server import ScriptedServer
from ..referee.tokens import token_set
from ..referee.welcome import welcome
from .case import Case, Step, fill
from .driver import CommandFailed, Driver, DriverCrash, DriverHang, ProtocolBroken
from .matching import difference, matches, select
from .trace import Trace
from .under_test import ServerUnderTest
from .vocabulary import VERBS

JsonObject = dict[str, Any]


class StepFailed(Exception):
    """Something other than what the case says came (`got`), or nothing at all."""

    def __init__(self, text: str, got: JsonObject | None = None) -> None:
        super().__init__(text)
        self.got = got


class Play:
    """One play of one case."""

    def __init__(
        self,
        case: Case,
        driver: Driver | None,
        server: ServerUnderTest | None,
        secret: str,
        claims: JsonObject | None = None,
    ) -> None:
        self.case = case
        self.trace = Trace()
        run = uuid.uuid4().hex[:12]
        self.tokens = token_set(secret, run, claims)
        self.peer: ScriptedServer | None = None
        self.server = server
        self.alternatives: list[str] = []
        """What the case permits and does not prefer, and was seen."""
        self.background: set[asyncio.Task[None]] = set()
        """What goes on beside the steps; ended with the play."""
        self.proxies: dict[str, FaultProxy] = {}
        self._driver = driver
        if driver is not None:
            driver.on_event = self.take_event
        self._connections: dict[str, RefereeConnection] = {}
        self._aliases: dict[str, str] = {}
        self._read_events: dict[str, int] = {}
        self._event_arrived = asyncio.Event()
        self._variables: JsonObject = {f"jwt.{name}": text for name, text in self.tokens.items()}
        self._variables["run"] = run
        self._variables["welcome"] = welcome()

    async def run(self) -> None:
        """Does the steps; raises `StepFailed` at the first that does not come true."""
        if self.case.kind == "client":
            self.peer = ScriptedServer(self.trace.frames)
            await self.peer.start()
            self._variables["peer.url"] = self.peer.url
        if self.server is not None:
            self._variables["server.url"] = self.server.url
        for number, step in enumerate(self.case.steps, 1):
            if self.case.control and "accepted" in step.arguments:
                await self._do_control(number, step)
            else:
                await self._do(number, step)
            if step.verb in self.case.fired:
                self.trace.marks[step.verb] = len(self.trace.events)
        if self.peer is not None:
            self.trace.most_open = self.peer.most_open

    def _action(self, step: Step) -> Coroutine[Any, Any, None]:
        arguments = self.resolve(step.arguments)
        arguments.pop("accepted", None)
        return VERBS[step.verb].action(self, arguments)

    async def _do(self, number: int, step: Step) -> None:
        try:
            async with asyncio.timeout(self._patience(step)):
                await self._unless_crashed(self._action(step))
        except TimeoutError:
            raise await self._silence(
                f"step {number} ({step.verb})", self._patience(step)
            ) from None
        except (StepFailed, Ended, CommandFailed, HandshakeRefused) as error:
            raise StepFailed(f"step {number} ({step.verb}): {error}") from None

    async def _do_control(self, number: int, step: Step) -> None:
        """Without the defect the step must fail, since what comes is that it was accepted."""
        where = f"step {number} ({step.verb}) without the defect"
        own = step.arguments.get("on")
        accepted = {"on": own, **self.resolve(step.arguments["accepted"])}
        # What the step itself reads makes it fail; what comes from elsewhere leaves it waiting.
        elsewhere = "ev" in accepted or accepted["on"] != own
        work = asyncio.create_task(self._action(step))
        watch = [asyncio.create_task(self._elsewhere(accepted))] if elsewhere else []
        try:
            async with asyncio.timeout(self.case.seconds):
                await self._unless_crashed(_first(work, *watch))
        except TimeoutError:
            raise await self._silence(where, self.case.seconds) from None
        finally:
            stopped = work.cancel()
            await _cancel(work, *watch)
        if stopped:
            watch[0].result()
            return
        error = work.exception()
        if error is None:
            raise StepFailed(f"{where}: it was rejected all the same")
        if isinstance(error, (DriverCrash, ProtocolBroken)):
            raise error
        wanted = {
            key: value for key, value in accepted.items() if key in ("type", "upgrade", "status")
        }
        wanted.update(accepted.get("match", {}))
        if not (isinstance(error, StepFailed) and error.got and matches(error.got, wanted)):
            raise StepFailed(f"{where}: it was not accepted: {error}")

    async def _elsewhere(self, accepted: JsonObject) -> None:
        """Waits until a driver, or another connection, shows that something was accepted."""
        if "ev" in accepted:
            await self.next_event(accepted)
        else:
            await self.receive(accepted)

    async def _unless_crashed(self, action: Awaitable[None]) -> None:
        """Does a step, but no longer than the driver lives."""
        if self._driver is None:
            await action
            return
        work = asyncio.ensure_future(action)
        failed = asyncio.create_task(self._driver.failed.wait())
        try:
            await _first(work, failed)
            if not work.done() and self._driver.failure is not None:
                raise self._driver.failure
            await work
        finally:
            await _cancel(work, failed)

    def _patience(self, step: Step) -> int:
        return max(self.case.seconds, VERBS[step.verb].patience)

    async def _silence(self, where: str, seconds: int) -> StepFailed | DriverHang:
        """What it means that nothing came: a driver that answers has nothing to tell."""
        told = f"{where}: nothing came in {seconds} s"
        if self._driver is None or await self._driver.answers():
            return StepFailed(told)
        return DriverHang(f"{told}, and the driver does not answer any more")

    async def end(self) -> None:
        """Lets go of every socket."""
        for task in self.background:
            task.cancel()
        await asyncio.gather(*self.background, return_exceptions=True)
        for connection in self._connections.values():
            await connection.close()
        for name, proxy in self.proxies.items():
            await proxy.stop()
            self.trace.unmet += [f"{name}: {text}" for text in proxy.unmet()]
        if self.peer is not None:
            await self.peer.stop()

    # Values.

    def resolve(self, arguments: Any) -> Any:
        """Fills in what was bound."""
        return fill(arguments, self._variables)

    def expect(self, value: JsonObject, arguments: JsonObject) -> None:
        """Raises `StepFailed` unless `match` fits the value; binds what `bind` names."""
        if not matches(value, arguments.get("match", {})):
            raise StepFailed(difference(value, arguments["match"]), value)
        self.bind(value, arguments)

    def bind(self, value: JsonObject, arguments: JsonObject) -> None:
        """Keeps places of a value under the names that `bind` gives them."""
        for name, path in arguments.get("bind", {}).items():
            try:
                self._variables[name] = select(value, path)
            except (KeyError, IndexError):
                raise StepFailed(f"{path} is not in {value!r:.300}") from None

    # The driver.

    async def ask(self, command: str, arguments: JsonObject) -> JsonObject:
        """Has the driver do something; raises `CommandFailed`, `DriverCrash`."""
        assert self._driver is not None
        return await self._driver.ask(command, **arguments)

    def take_event(self, event: JsonObject) -> None:
        """Keeps an event of the driver."""
        self.trace.events.append(event)
        self._event_arrived.set()

    async def next_event(self, wanted: JsonObject) -> JsonObject:
        """The next event of this handle or client, and kind, that matches."""
        key = f"{wanted.get('handle') or wanted.get('client')}:{wanted['ev']}"
        while True:
            position = self._read_events.get(key, 0)
            for index in range(position, len(self.trace.events)):
                event = self.trace.events[index]
                self._read_events[key] = index + 1
                if is_wanted(event, wanted):
                    return event
            self._event_arrived.clear()
            await self._event_arrived.wait()

    # Peers.

    def default_url(self) -> str:
        """Where an SDK connects when a case does not say."""
        return self.peer.url if self.peer is not None else self.server_under_test().url

    def scripted(self) -> ScriptedServer:
        """The scripted server of a client case."""
        if self.peer is None:
            raise StepFailed("there is no scripted server in this case")
        return self.peer

    def server_under_test(self) -> ServerUnderTest:
        """The server of a server or e2e case."""
        if self.server is None:
            raise StepFailed("the case has no server under test")
        return self.server

    def proxy(self, alias: str) -> FaultProxy:
        """The fault proxy that the case calls `alias`."""
        return self.proxies[alias]

    def keep(self, alias: str, connection: RefereeConnection) -> None:
        """Gives a connection the name that the case has for it."""
        self._connections[alias] = connection
        self._aliases[alias] = connection.name

    def connection(self, alias: str) -> RefereeConnection:
        """The connection that the case calls `alias`."""
        return self._connections[alias]

    def connection_name(self, alias: str) -> str:
        """The name in the trace of what a case calls `alias`."""
        return self._aliases[alias]

    async def receive(self, arguments: JsonObject) -> None:
        """The next message must be the one that the case names; `skip` names types to pass over."""
        connection = self.connection(arguments["on"])
        while True:
            message = await connection.receive()
            if message.get("type") not in arguments.get("skip", ()):
                break
        self._permitted(arguments, lambda wanted: self._expect_message(message, wanted))

    def _expect_message(self, message: JsonObject, wanted: JsonObject) -> None:
        if message.get("type") != wanted["type"]:
            raise StepFailed(f"got {message!r:.300}, not {wanted['type']}", message)
        for key in wanted.get("absent", ()):
            if key in message:
                raise StepFailed(f"{key} is there: {message[key]!r:.200}", message)
        self.expect(message, wanted)

    def _permitted(self, arguments: JsonObject, judge: Callable[[JsonObject], None]) -> None:
        """Judges by what the case prefers, then by what it permits as well (`or`).

        An alternative with `to` is permitted to drivers with that feature alone.
        """
        features = frozenset() if self._driver is None else self._driver.features
        try:
            judge(arguments)
        except StepFailed as error:
            for other in arguments.get("or", ()):
                if "to" in other and other["to"] not in features:
                    continue
                with contextlib.suppress(StepFailed):
                    judge({**arguments, **other})
                    self.alternatives.append(f"{error}; permitted by {json.dumps(other)}")
                    return
            raise

    async def receive_end(self, arguments: JsonObject) -> Ended:
        """The connection must end next, with `code` and by `tcp` (`fin`) where they are named."""
        connection = self.connection(arguments["on"])
        try:
            while (message := await connection.receive()).get("type") in arguments.get("skip", ()):
                pass
            raise StepFailed(f"got {message!r:.300}, not the end of the connection", message)
        except Ended as error:
            ended = error
        self._permitted(arguments, lambda wanted: _expect_code(ended, wanted))
        if "tcp" in arguments:
            how = await connection.receive_gone(first=True)
            if how != arguments["tcp"]:
                raise StepFailed(f"the socket ended with {how}, not {arguments['tcp']}")
        return ended


def _expect_code(ended: Ended, wanted: JsonObject) -> None:
    if "code" in wanted and ended.code != wanted["code"]:
        got = {"type": "(close)", "code": ended.code, "reason": ended.reason}
        raise StepFailed(f"ended with {ended.code}, not {wanted['code']}", got)


def is_wanted(event: JsonObject, wanted: JsonObject) -> bool:
    """Whether an event of the driver is one that a case asks for."""
    names = ("ev", "handle", "client")
    same = all(event.get(name) == wanted[name] for name in names if name in wanted)
    return same and matches(event, wanted.get("match", {}))


async def _first(*tasks: asyncio.Future[Any]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
