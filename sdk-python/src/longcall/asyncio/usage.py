# SPDX-License-Identifier: Apache-2.0
"""Who uses a handle just now, and what becomes of its request when the last one leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import Detached, LongcallError, RequestError, WaitTimeout
from ..options import EndTrace
from ..protocol import EventReader, TrackedRequest
from .connection import Connection, call_safely


class Usage:
    """One handle's hold on its request.

    Those who wait or iterate `enter` and `leave`. When the last one leaves before the end, the
    request is released: the server stops sending it. It is retained again when somebody comes
    back. PROTOCOL 9.3.2, 10.25.

    Attributes:
        is_detached: True once the application has detached the handle, for good.
    """

    def __init__(
        self, connection: Connection, state: TrackedRequest, *, cancel_on_exit: bool
    ) -> None:
        self.is_detached = False
        self._connection = connection
        self._state = state
        self._cancel_on_exit = cancel_on_exit
        self._is_released = False
        self._count = 0
        self._readers: set[EventReader] = set()
        self._end_trace: EndTrace | None = None

    def trace(self, end: EndTrace | None) -> None:
        """Tells `end`, once, how the request ended for this handle."""
        if end is not None:
            self._end_trace = end
            self._unsubscribe = self._state.changed.subscribe(self._look)
            self._look()

    def _look(self) -> None:
        if self._state.outcome is not None:
            self._traced(self._state.outcome.error)

    def _traced(self, error: LongcallError | None) -> None:
        if self._end_trace is not None:
            end, self._end_trace = self._end_trace, None
            self._unsubscribe()
            if isinstance(error, RequestError):
                error = error._with(attempt=self._state.attempt)
            call_safely(end, error)

    def check_attached(self) -> None:
        """Raises `Detached` once the handle is detached."""
        if self.is_detached:
            raise Detached(self._state.id)

    def enter(self) -> None:
        self.check_attached()
        if self._is_released:
            self._is_released = False
            with self._connection.step() as now:
                self._connection.protocol.retain(self._state, now)
        self._count += 1

    def leave(self, *, left_early: bool, gave_up: bool = False) -> None:
        """One of those who entered is gone; `gave_up`: because its patience has ended."""
        self._count -= 1
        is_over = self.is_detached or self._state.outcome is not None
        if (left_early or gave_up) and not self._count and not is_over:
            self._is_released = True
            # PROTOCOL 9.3.2: the end of a `timeout` never cancels.
            cancels = self._cancel_on_exit and not gave_up
            with self._connection.step() as now:
                self._connection.protocol.release(self._state, now, cancels=cancels)
            self._traced(Detached(self._state.id))

    @contextmanager
    def wait(self, *, releases: bool = True) -> Iterator[None]:
        """Somebody waits; `releases`: leaving early may release the request."""
        self.enter()
        left_early = gave_up = False
        try:
            yield
        except asyncio.CancelledError:
            left_early = releases
            raise
        except WaitTimeout:
            gave_up = releases
            raise
        finally:
            self.leave(left_early=left_early, gave_up=gave_up)

    def open_reader(self, first: EventReader | None) -> EventReader:
        """Begins to read the log; by `first`, which was kept for that, if it has missed nothing."""
        protocol = self._connection.protocol
        with self._connection.step() as now:
            if first is None or not protocol.activate_reader(self._state, first, now):
                if first is not None:
                    protocol.close_reader(self._state, first, now)
                first = protocol.open_reader(self._state, now)
        self._readers.add(first)
        return first

    def close_reader(self, reader: EventReader) -> None:
        self._readers.discard(reader)
        with self._connection.step() as now:
            self._connection.protocol.close_reader(self._state, reader, now)

    def detach(self, *, exits: bool = False) -> None:
        """Ends the handle, and wakes all who wait for it; `exits`: as somebody who leaves early."""
        if self.is_detached:
            return
        self.is_detached = True
        protocol = self._connection.protocol
        exits = exits and self._state.outcome is None
        self._traced(Detached(self._state.id))
        with self._connection.step() as now:
            for reader in self._readers:
                protocol.close_reader(self._state, reader, now)
            if not self._is_released:
                protocol.release(self._state, now, cancels=exits and self._cancel_on_exit)
        for reader in self._readers:
            reader.changed.fire()
        self._state.changed.fire()
