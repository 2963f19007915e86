# SPDX-License-Identifier: Apache-2.0
"""A server in memory."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self

from ..asyncio.platform import register
from ..codec import to_json_value
from .clock import TestClock
from .host import Closed, Host, Known, Refusal
from .messages import Message, timestamp
from .request import InMemoryRequest, Script

PATIENCE: Final = 10.0
"""Real seconds that `next` waits for a request."""

_numbers = itertools.count(1)


class InMemoryServer:
    """A server in memory, for the tests of an application that uses longcall.

    ::

        with InMemoryServer() as server:

            @server.on("generate_report")
            def report(request):
                request.progress(50, "half of it")
                return {"rows": 2}

            async with longcall.connect(server.url, "token") as client:
                assert await client.call("generate_report") == {"rows": 2}
                server.drop()
                await server.clock.advance(20)  # the client is back, and nobody has waited

    The client is the real one, `longcall.connect` or `longcall.sync.connect`, given `server.url`:
    only its socket and its clock are others. The server speaks the protocol: it stores requests,
    numbers their events, sends again what was missed, answers an id that it knows as a duplicate.
    What it gets and sends is checked by the generated models. Files are not served.

    Args:
        clock: None: a clock of its own, which stands still until the test advances it.
        authenticate: Says for a token whose it is, or the close code with which it is refused.
            None: every token, and none, is `"principal"`'s.
        token_life: The seconds for which a token is accepted.
        limits: Changes of `welcome.limits`.
        heartbeat: The seconds between two pings.
        pings: Who pings: `"server"` or `"client"`.

    Attributes:
        url: The address; no other server has it.
        clock: The time of this server and of its clients.
        requests: All requests, the oldest first; quick ones that were answered are not kept.
        received: All messages of clients, in the order of arrival.
    """

    def __init__(
        self,
        *,
        clock: TestClock | None = None,
        authenticate: Callable[[str | None], str | int] | None = None,
        token_life: float = 3600.0,
        limits: Mapping[str, int] | None = None,
        heartbeat: float = 25.0,
        pings: str = "server",
    ) -> None:
        self._name = f"in-memory-{next(_numbers)}.invalid"
        self._host = Host(
            clock or TestClock(),
            authenticate or (lambda token: "principal"),
            token_life=token_life,
            limits=limits or {},
            heartbeat=heartbeat,
            pings=pings,
        )
        self._lock = self._host.lock
        self.url: str = f"ws://{self._name}/v1/connect"
        self.clock: TestClock = self._host.clock
        self.requests: list[InMemoryRequest] = self._host.requests
        self.received: list[dict[str, Any]] = self._host.received
        register(self._name, self._host)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # What becomes of requests.

    def on(
        self,
        action: str,
        script: Script | Refusal | None = None,
        *,
        durable: bool = True,
    ) -> Callable[[Script], Script]:
        """Says what becomes of the requests of an action; of those without, `UNKNOWN_ACTION`.

        Args:
            action: The action.
            script: A function, plain or async, that is called with the `InMemoryRequest`: it
                reports progress and chunks, and returns the result. A `RequestError` that it
                raises ends the request with its code, anything else with `INTERNAL_ERROR`. A
                `Refusal` turns requests down. None: they are stored and wait for the test, which
                takes them by `next`.
            durable: False: a quick action, answered at once and not stored, unless it takes more
                than 2 s of the clock, sends a chunk or is cancelled.

        Without `script` it can be used as a decorator of one.
        """
        with self._lock:
            self._host.actions[action] = Known(script, durable)

        def decorate(function: Script) -> Script:
            self.on(action, function, durable=durable)
            return function

        return decorate

    async def next(self, action: str | None = None) -> InMemoryRequest:
        """Returns the next request that no script answers; waits for it.

        Args:
            action: Of which action; None: of any.

        Raises:
            TimeoutError: None came within 10 real seconds.
        """
        async with asyncio.timeout(PATIENCE):
            return await asyncio.wrap_future(self._next(action))

    def next_sync(self, action: str | None = None) -> InMemoryRequest:
        """Returns the next request that no script answers, in a thread without an event loop.

        Args:
            action: As in `next`, and the rest as well.
        """
        return self._next(action).result(PATIENCE)

    def _next(self, action: str | None) -> Future[InMemoryRequest]:
        future: Future[InMemoryRequest] = Future()
        with self._lock:
            for request in self._host.untaken:
                if action in (None, request.action):
                    self._host.untaken.remove(request)
                    future.set_result(request)
                    return future
            self._host.takers.append((action, future))
        return future

    def request(self, id: str) -> InMemoryRequest:
        """Returns a request that was stored.

        Args:
            id: Its id.

        Raises:
            KeyError: There is none.
        """
        with self._lock:
            for request in self.requests:
                if request.id == id:
                    return request
        raise KeyError(id)

    # What happens to connections.

    @property
    def connections(self) -> int:
        """How many connections are open and welcomed."""
        with self._lock:
            return len(self._host.welcomed)

    @property
    def connections_opened(self) -> int:
        """How many connections were tried, those that were refused included."""
        return self._host.opened

    def streams(self, id: str | None = None) -> int:
        """How many logs are followed, over all connections.

        Args:
            id: Of which request; None: of all.
        """
        with self._lock:
            followed = [one for session in self._host.sessions for one in session.followed]
        return len(followed) if id is None else followed.count(id)

    def drop(self, code: int | None = None, reason: str = "") -> None:
        """Ends all connections.

        Args:
            code: The close code; None: they are lost without a word.
            reason: The reason of the close.
        """
        with self._lock:
            for session in tuple(self._host.sessions):
                session.close(code, reason or ("" if code else "the connection was lost"))

    def refuse(
        self,
        code: int | None = None,
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Lets nobody in from now on; those who are in stay.

        Args:
            code: Close each connection with this code, once it has said hello.
            status: Refuse the upgrade with this HTTP status. Neither: nobody listens.
            retry_after: The seconds of `Retry-After`, with `status`.
        """
        with self._lock:
            self._host.closed = Closed(code, status, retry_after)

    def accept(self) -> None:
        """Ends `refuse`."""
        with self._lock:
            self._host.closed = None

    def goaway(self, reason: str = "drain", reconnect_after: float = 0.0) -> None:
        """Asks all clients to move to a new connection.

        Args:
            reason: Why, for their logs.
            reconnect_after: In how many seconds.
        """
        message = {
            "type": "goaway",
            "reason": reason,
            "reconnect_after_ms": round(reconnect_after * 1000),
        }
        with self._lock:
            for session in self._host.welcomed:
                session.send(message)

    def announce(self, message: str, details: object = None) -> None:
        """Sends an operator's word to all.

        Args:
            message: The word.
            details: Any JSON value; None: none.
        """
        said: Message = {
            "type": "announcement",
            "message": message,
            "created_at": timestamp(self.clock.now()),
        }
        if details is not None:
            said["details"] = to_json_value(details, "/details")
        with self._lock:
            for session in self._host.welcomed:
                session.send(said)

    def stall(self) -> None:
        """Connections stay open, and nothing goes through: half open, as behind a dead proxy."""
        with self._lock:
            self._host.is_stalled = True

    def resume(self) -> None:
        """Ends `stall`: what was held is let through, on connections that are still there."""
        with self._lock:
            self._host.is_stalled = False
            for session in tuple(self._host.sessions):
                session.resume()

    def stop(self) -> None:
        """Closes all connections, and ends what runs; the address leads nowhere any more."""
        register(self._name, None)
        self.refuse()
        self.drop(1001, "the server stops")
        with self._lock:
            for request in self.requests:
                request._abandon()
            takers, self._host.takers = self._host.takers, []
        for _, future in takers:
            future.cancel()
