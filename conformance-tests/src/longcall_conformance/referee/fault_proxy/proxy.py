# SPDX-License-Identifier: Apache-2.0
"""A proxy that understands WebSocket frames and makes faults where its rules say."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from .relay import Relay
from .rules import JsonObject, Plan, Rule, Seen
from .schedule import Schedule

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""A greater frame ends its connection and fails the run: the proxy holds frames as a whole."""
MOST_TOLD = 1_000
"""So many faults and connections are told one by one; of those behind, how many there were."""


class FaultProxy:
    """Stands between clients and one server, for as long as it is entered.

    `target` is the server's ws:// address; clients connect to `url`, which has the same path. What
    is no WebSocket passes as it is, and so does an upgrade that the server refuses. A request that
    follows on the same socket passes as bytes.

    With `record`, every frame and fault is appended to it, message and all: for short runs.
    """

    def __init__(
        self,
        target: str,
        plan: Plan | Iterable[Rule] = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        record: list[JsonObject] | None = None,
        name: str = "proxy",
        max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        parts = urlsplit(target)
        if parts.scheme != "ws" or parts.hostname is None:
            raise ValueError(f"{target} is no ws:// address; the proxy speaks no TLS")
        plan = plan if isinstance(plan, Plan) else Plan(tuple(plan))
        self.seed = seed
        self._server_at = parts.hostname, parts.port or 80
        self._path = parts.path
        self._listen = host, port
        self._schedule = Schedule(plan, seed)
        self._max_frame = max_frame_bytes
        self._record = record
        self._name = name
        self._server: asyncio.Server | None = None
        self._relays: dict[asyncio.Task[None], Relay] = {}
        self._stories: list[JsonObject] = []
        self._fired: list[JsonObject] = []
        self._counts = {"connections": 0, "websockets": 0, "faults": 0, "open_at_most": 0}
        self._kinds: Counter[str] = Counter()
        self._held: dict[str, list[tuple[Rule, list[int], asyncio.Event]]] = {}
        self._problems: list[str] = []
        self._changed = asyncio.Condition()
        self._waking: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"ws://{host}:{port}{self._path}"

    async def start(self) -> None:
        """Begins to listen."""
        self._server = await asyncio.start_server(self._serve, *self._listen)

    async def stop(self) -> JsonObject:
        """Ends every connection, and returns the report."""
        if self._server is not None:
            self._server.close()
        for task in list(self._relays):
            task.cancel()
        await asyncio.gather(*self._relays, *self._waking, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
        return self.report()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._counts["connections"] += 1
        relay = Relay.of(
            self._counts["connections"],
            self,
            reader,
            writer,
            seed=self.seed,
            max_frame_bytes=self._max_frame,
        )
        self._relays[task] = relay
        opened = sum(other.is_open for other in self._relays.values())
        self._counts["open_at_most"] = max(self._counts["open_at_most"], opened)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await relay.run(*self._server_at)
        finally:
            del self._relays[task]
            if relay.problem is not None:
                self._problems.append(relay.problem)
            if len(self._stories) < MOST_TOLD:
                self._stories.append(relay.story.as_json())
            self._wake()

    def _wake(self) -> None:
        async def notify() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.create_task(notify())
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    # --- What relays ask --------------------------------------------------------------------------

    def take(self, seen: Seen) -> list[Rule]:
        """The faults that a frame meets; releases what waits for it."""
        if self._record is not None:
            message = seen.message or {"type": seen.type}
            self._note(seen.connection, str(seen.direction), message)
        for waiting in self._held.values():
            for rule, fitting, event in waiting:
                if rule.until is not None and rule.until.fits(seen):
                    fitting[0] += 1
                    if fitting[0] >= rule.until.nth:
                        event.set()
        return self._schedule.take(seen)

    def upgraded(self) -> None:
        """Counts a connection that has become a WebSocket."""
        self._counts["websockets"] += 1
        self._wake()

    def left(self) -> None:
        """A client has closed its socket, or reset it."""
        self._wake()

    def tell(self, rule: Rule, seen: Seen, detail: JsonObject) -> None:
        """Writes down that a fault is made."""
        self._counts["faults"] += 1
        self._kinds[str(rule.fault)] += 1
        told: JsonObject = {
            "rule": rule.name,
            "fault": str(rule.fault),
            "connection": seen.connection,
            "direction": str(seen.direction),
            "frame": seen.number,
            "type": seen.type,
            **detail,
        }
        if len(self._fired) < MOST_TOLD:
            self._fired.append(told)
        if self._record is not None:
            self._note(seen.connection, "fault", {**told, "type": f"({rule.fault})"})
        self._wake()

    def hold(self, rule: Rule) -> asyncio.Event:
        """What a frame that is held waits for."""
        event = asyncio.Event()
        self._held.setdefault(rule.name, []).append((rule, [0], event))
        return event

    def _note(self, connection: int, what: str, message: JsonObject) -> None:
        assert self._record is not None
        name = f"{self._name}.{connection}"
        self._record.append({"connection": name, "what": what, "message": message})

    # --- What a test asks -------------------------------------------------------------------------

    def add(self, rule: Rule) -> None:
        """One more rule, from the next frame on; raises `ValueError` for a name that is there."""
        self._schedule.add(rule)

    def release(self, name: str) -> None:
        """Lets go of what the rule `name` holds; raises `ValueError` where it holds nothing."""
        if not self._held.get(name):
            raise ValueError(f"{name} holds nothing")
        for _, _, event in self._held.pop(name):
            event.set()

    def cut(self, how: str) -> None:
        """Ends all connections now as `fin` or `reset`, or makes a `blackhole` of them.

        Raises `ValueError` where there is none.
        """
        relays = [relay for relay in self._relays.values() if relay.is_websocket]
        if not relays:
            raise ValueError("there is no connection to cut")
        for relay in relays:
            relay.cut(how)

    async def fired(self, name: str, count: int = 1) -> None:
        """Waits until a rule has made its fault so often; raises `ValueError` for no rule."""
        if name not in self._schedule.fired():
            raise ValueError(f"there is no rule {name}")
        async with self._changed:
            await self._changed.wait_for(lambda: self._schedule.fired()[name] >= count)

    async def connected(self, number: int) -> None:
        """Waits until so many clients have had a WebSocket."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._counts["websockets"] >= number)

    async def vacated(self) -> None:
        """Waits until no client is connected; what is stalled is read, and thrown away."""
        for relay in self._relays.values():
            relay.give_up()
        async with self._changed:
            await self._changed.wait_for(lambda: self.open_count == 0)

    @property
    def open_count(self) -> int:
        """How many clients are connected now."""
        return sum(relay.is_open for relay in self._relays.values())

    @property
    def connections(self) -> int:
        """How many clients there have been."""
        return self._counts["connections"]

    def unmet(self) -> list[str]:
        """Rules that never fired, demands that were not met, frames that were too large."""
        return [*self._schedule.unmet(), *self._problems]

    def report(self) -> JsonObject:
        """What was done so far; `failed` says what should have happened and has not."""
        live = [relay.story.as_json() for relay in self._relays.values()]
        return {
            "version": 1,
            "seed": self.seed,
            "passed": not self.unmet(),
            "failed": self.unmet(),
            "counts": dict(self._counts),
            "kinds": dict(sorted(self._kinds.items())),
            "rules": self._schedule.fired(),
            "faults": list(self._fired),
            "connections": (self._stories + live)[:MOST_TOLD],
        }
