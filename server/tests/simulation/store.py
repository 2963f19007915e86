# SPDX-License-Identifier: Apache-2.0
"""What one node sees of the store: its calls take time, fail, and end with the node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from longcall_server.stores.base import OutcomeUnknown, StoreUnavailable
from simulation.ledger import Ledger
from simulation.weather import StoreFault, Weather

_UNTRACED = frozenset({"get", "read", "list"})


class Process(Protocol):
    """The node that calls."""

    name: str

    def crash(self) -> None:
        """Ends at once."""

    def stall(self) -> None:
        """Stops for a while."""


class ShakyStore:
    """A `Store` over the one that all nodes share; each call is one step of that store."""

    name = "simulated"

    def __init__(
        self,
        ledger: Ledger,
        weather: Weather,
        process: Process,
        *,
        now: Callable[[], int],
        trace: Callable[..., None],
    ) -> None:
        self.now = now
        self._ledger = ledger
        self._weather = weather
        self._process = process
        self._trace = trace
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, verb: str) -> Any:
        if verb.startswith("_"):
            raise AttributeError(verb)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._call(verb, args, kwargs)

        setattr(self, verb, call)
        return call

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def _call(self, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        weather = self._weather
        delay = weather.store_delay()
        if delay is not None:
            await asyncio.sleep(delay)
        if weather.outages and weather.is_out(self._loop.time()):
            weather.count("store unavailable")
            raise StoreUnavailable("the weather is bad")
        fault = weather.strikes(verb)
        if fault is None:
            return await self._carry_out(verb, args, kwargs)
        self._trace(self._process.name, verb, fault.value)
        match fault:
            case StoreFault.CRASH_BEFORE:
                await self._crash()
            case StoreFault.STALL_BEFORE:
                self._process.stall()
                await asyncio.sleep(0)
            case StoreFault.LOST:
                raise OutcomeUnknown("not committed")
        try:
            return await self._carry_out(verb, args, kwargs)
        finally:
            match fault:
                case StoreFault.CRASH_AFTER:
                    await self._crash()
                case StoreFault.STALL_AFTER:
                    self._process.stall()
                    await asyncio.sleep(0)
                case StoreFault.KEPT:
                    raise OutcomeUnknown("committed")

    async def _crash(self) -> None:
        self._process.crash()
        await self._loop.create_future()

    async def _carry_out(self, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if verb not in _UNTRACED:
            self._trace(self._process.name, verb, _brief(verb, args, kwargs))
        result = self._ledger.carry_out(verb, args, kwargs)
        delay = self._weather.store_delay()
        if delay is not None:
            await asyncio.sleep(delay)
        return result


def _brief(verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """What a trace says of a call."""
    match verb:
        case "submit":
            promoted = " (promotion)" if kwargs.get("promotion") else ""
            return f"{args[0].key.id}{promoted}"
        case "append":
            return f"{args[0].key.id} attempt {args[0].attempt} operation {kwargs['operation']}"
        case "complete" | "fail":
            return f"{args[0].key.id} attempt {args[0].attempt}"
        case "request_cancel" | "requeue":
            return str(args[0].id)
        case "renew":
            return " ".join(f"{one.lease.key.id}/{one.lease.attempt}" for one in args[0])
    return ""
