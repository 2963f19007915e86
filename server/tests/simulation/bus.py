# SPDX-License-Identifier: Apache-2.0
"""The doorbell between the nodes: it loses, repeats, delays and overtakes."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

from longcall_server.bus.base import Announcement, RequestListener
from longcall_server.bus.local import LocalBus
from longcall_server.stores.base import RequestKey, StoredProgress
from simulation.weather import Weather


class Bells:
    """The bells of all nodes that live."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self._loop = asyncio.get_running_loop()
        self.nodes: dict[LocalBus, contextvars.Context] = {}
        self._latest: dict[LocalBus, float] = {}

    def ring(self, own: LocalBus, bell: str, *args: Any) -> None:
        """Rings at every node; at the node that rings at once, if at all."""
        weather = self.weather
        for bus, context in self.nodes.items():
            if weather.calm:
                self._deliver(bus, context, 0.0, bell, args, direct=bus is own)
                continue
            throw = weather.dice.random()
            if throw < weather.bus_drop:
                weather.count("bell lost")
                continue
            repeated = weather.dice.random() < weather.bus_duplicate
            for _ in range(2 if repeated else 1):
                delay = weather.dice.uniform(0, weather.bus_delay)
                late = delay > 0.05
                if late:
                    weather.count("bell delayed")
                self._deliver(bus, context, delay, bell, args, direct=bus is own and not late)
            if repeated:
                weather.count("bell repeated")

    def refuses(self) -> bool:
        """Whether a report is too long for this bus: then it goes through the store."""
        weather = self.weather
        if weather.calm or weather.dice.random() >= weather.bus_refuse:
            return False
        weather.count("progress too long for the bell")
        return True

    def _deliver(
        self,
        bus: LocalBus,
        context: contextvars.Context,
        delay: float,
        bell: str,
        args: tuple[Any, ...],
        *,
        direct: bool,
    ) -> None:
        if direct:
            getattr(bus, bell)(*args)
            return
        at = self._loop.time() + delay
        latest = self._latest.get(bus, 0.0)
        if at < latest:
            self.weather.count("bell overtaken")
        self._latest[bus] = max(at, latest)
        self._loop.call_at(at, getattr(bus, bell), *args, context=context)


class ShakyBus:
    """The `Bus` of one node: the shipped one listens, the bells ring it."""

    def __init__(self, bells: Bells, context: contextvars.Context) -> None:
        self._bells = bells
        self._local = LocalBus()
        bells.nodes[self._local] = context

    def leave(self) -> None:
        """The node is gone."""
        self._bells.nodes.pop(self._local, None)

    def request_changed(self, key: RequestKey) -> None:
        self._bells.ring(self._local, "request_changed", key)

    def progress_reported(self, key: RequestKey, progress: StoredProgress) -> bool:
        if self._bells.refuses():
            return False
        self._bells.ring(self._local, "progress_reported", key, progress)
        return True

    def cancel_requested(self, key: RequestKey) -> None:
        self._bells.ring(self._local, "cancel_requested", key)

    def work_available(self) -> None:
        self._bells.ring(self._local, "work_available")

    def announce(self, announcement: Announcement) -> int:
        self._bells.ring(self._local, "announce", announcement)
        return len(self._bells.nodes) - 1

    def watch_request(self, key: RequestKey, listener: RequestListener) -> Callable[[], None]:
        return self._local.watch_request(key, listener)

    def watch_cancels(self, callback: Callable[[RequestKey], None]) -> Callable[[], None]:
        return self._local.watch_cancels(callback)

    def watch_work(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self._local.watch_work(callback)

    def watch_announcements(self, callback: Callable[[Announcement], None]) -> Callable[[], None]:
        return self._local.watch_announcements(callback)
