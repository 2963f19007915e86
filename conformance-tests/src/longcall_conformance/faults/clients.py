# SPDX-License-Identifier: Apache-2.0
"""The clients of one driver, and what each of them asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..referee.observations import ObservationFile
from ..runner.driver import CommandFailed, Driver
from .control import Control
from .observer import Followed, Observer
from .workload import Asked, Moment

JsonObject = dict[str, Any]

LANES: Final = 4
"""So many requests of a client are under way at a time."""
TUNING: Final = {"backoff_initial_ms": 50, "backoff_max_ms": 500}


@dataclass(frozen=True)
class Person:
    """One client: it has a file of its own, and shares its owner with the next one."""

    name: str
    token: str
    asks: bool
    """Its SDK has a function that gets tokens, instead of a token."""
    file: ObservationFile


class Clients:
    """All of them, in one driver, behind one address.

    `patience`: so many seconds may pass without any event before what is open is given up.
    """

    def __init__(
        self, driver: Driver, url: str, control: Control, people: list[Person], patience: float
    ) -> None:
        self._driver = driver
        self._url = url
        self._control = control
        self._people = people
        self._patience = patience
        self._tasks: set[asyncio.Task[Any]] = set()
        self._asked: dict[str, tuple[Asked, Person]] = {}
        self._prompted: set[tuple[str, Moment]] = set()
        self._errors: list[BaseException] = []
        self._over = asyncio.Event()
        self.observer = Observer(self._prompt)
        self.observer.asks = self._give_token
        self.finished = 0
        self.gave_up = False
        """Whether nothing came any more, and something was open."""
        driver.on_event = self.observer.take

    @staticmethod
    def made(folder: Path, tokens: list[str], count: int) -> list[Person]:
        """`count` clients; two neighbours have one owner, every other one asks for its tokens."""
        return [
            Person(
                f"c{number}",
                tokens[number // 2],
                number % 4 > 1,
                ObservationFile(folder / f"client-{number}.jsonl"),
            )
            for number in range(count)
        ]

    async def run(
        self, requests: Iterator[tuple[str, Asked]], tell: Callable[[int], None]
    ) -> dict[str, Asked]:
        """Asks for everything and waits for its end; returns what was asked for, by name.

        Raises what a driver raises that breaks off.
        """
        for person in self._people:
            fixed = {} if person.asks else {"token": person.token}
            await self._driver.ask(
                "connect", client=person.name, url=self._url, tuning=TUNING, **fixed
            )
        lanes = [
            asyncio.create_task(self._lane(number, requests, tell))
            for number in range(len(self._people))
            for _ in range(LANES)
        ]
        watch = asyncio.create_task(self._watch())
        try:
            await asyncio.gather(*lanes)
            self.gave_up = self._over.is_set()
        finally:
            self._over.set()
            for task in (watch, *lanes, *self._tasks):
                task.cancel()
            await asyncio.gather(watch, *lanes, *self._tasks, return_exceptions=True)
            self.observer.is_over = True
            for person in self._people:
                person.file.close()
        if self._errors:
            raise self._errors[0]
        return {name: asked for name, (asked, _) in self._asked.items()}

    async def close(self) -> None:
        """Closes every client at once: each may have lost its connection just now."""
        await asyncio.gather(
            *(self._driver.ask("close", client=person.name) for person in self._people)
        )

    async def _lane(
        self, number: int, requests: Iterator[tuple[str, Asked]], tell: Callable[[int], None]
    ) -> None:
        for name, asked in requests:
            await self._one(number, name, asked)
            if self._over.is_set():
                return
            self.finished += 1
            tell(self.finished)

    async def _one(self, number: int, name: str, asked: Asked) -> None:
        person = self._people[number]
        self._asked[name] = asked, person
        one = Followed(name, name, person.file, is_call=asked.verb == "call")
        open_ones = [self.observer.follow(one)]
        if asked.watched:
            neighbour = self._people[number ^ 1]
            watching = Followed(f"w-{name}", name, neighbour.file, is_call=False)
            open_ones.append(self.observer.follow(watching))
        members = {"payload": asked.payload, "expect": asked.expect}
        one.note("submit", action=asked.action, **members)
        if one.is_call:
            one.read()
        await self._driver.ask(
            asked.verb, client=person.name, handle=name, action=asked.action, payload=asked.payload
        )
        await self._first(one.ended)
        for other in open_ones[1:]:
            if other.reads:
                await self._first(other.ended)

    async def _first(self, ended: asyncio.Event) -> None:
        """Waits for an end, or until all is given up."""
        waiting = [asyncio.create_task(event.wait()) for event in (ended, self._over)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _watch(self) -> None:
        """Gives up when nothing has come for long; breaks off when the driver has failed."""
        failed = asyncio.create_task(self._driver.failed.wait())
        try:
            told = -1
            while told != self.observer.told and not failed.done():
                told = self.observer.told
                await asyncio.wait({failed}, timeout=self._patience)
            self._over.set()
        finally:
            failed.cancel()

    # --- What events bring about ------------------------------------------------------------------

    def _prompt(self, one: Followed, moment: Moment) -> None:
        asked, person = self._asked[one.request]
        if one.name != one.request or (one.name, moment) in self._prompted:
            return
        self._prompted.add((one.name, moment))
        if moment == "acknowledged" and asked.watched:
            watching = self.observer.followed(f"w-{one.name}")
            watching.read()
            neighbour = self._people[int(person.name[1:]) ^ 1]
            self._begin(
                self._driver.ask(
                    "attach",
                    client=neighbour.name,
                    handle=watching.name,
                    request_id=one.request_id,
                )
            )
        if moment == asked.cancel_at:
            self._begin(self._cancel(one))
        if moment == asked.release_at:
            self._begin(self._control.release(one.name))

    async def _cancel(self, one: Followed) -> None:
        one.note("cancel", reason="faults")
        try:
            await self._driver.ask("cancel", handle=one.name, reason="faults")
        except CommandFailed as error:
            one.note("trouble", text=f"{one.name}: {error}")

    def _give_token(self, event: JsonObject) -> None:
        person = self._people[int(event["client"][1:])]
        self._begin(self._driver.ask("token", ask=event["ask"], token=person.token))

    def _begin(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)
            self._over.set()
