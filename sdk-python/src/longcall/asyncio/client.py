# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ASYNC109 - a caller's patience is a part of the protocol (PROTOCOL 9.3)
"""The door: `connect`, and what a client can ask."""

from __future__ import annotations

import math
from collections import abc
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from pydantic import JsonValue

from ..actions import Action, ChunkT, ParamsT, ResultT, named
from ..codec import invalid
from ..errors import ConfigurationError, ConnectionClosed, LongcallError, WaitTimeout
from ..events import Announcement, Chunk, ClientState, Progress, RequestSummary, Status
from ..identifiers import new_request_id
from ..options import Duration, EndTrace, Options, RequestOptions, SharedOptions, Token, checked_url
from ..states import ConnectionState
from .connection import Connection, call_safely, checked_token, logger
from .handle import Callback, Callbacks, RequestHandle
from .mapping import MapIterator, Mapping

PayloadT = TypeVar("PayloadT")


def connect(
    url: str,
    token: Token = None,
    *,
    options: Options | None = None,
    on_state: Callable[[ClientState], object] | None = None,
    on_announcement: Callable[[Announcement], object] | None = None,
) -> Client:
    """Returns a client; `async with` starts and closes it.

    ::

        async with connect("wss://example.com/v1/connect", token=fetch_token) as client:
            report = await client.call("generate_report", {"format": "csv"})

    It connects in the background and reconnects for ever: requests made meanwhile wait.

    Args:
        url: Where the server is; `/v1/connect` is put where the path lacks.
        token: The JWT, or a function, plain or async, that gives a fresh one each time. It is
            called with the reason: `"connect"`, `"refresh"`, or `"unauthorized"` when the server
            refused the one before. One that fails is called again later.
        options: How the client behaves.
        on_state: Called at each change of the connection's state.
        on_announcement: Called with each announcement of an operator.

    Raises:
        ConfigurationError: The address or the token cannot be used.
    """
    return Client(
        url,
        token,
        options=options or Options(),
        on_state=on_state,
        on_announcement=on_announcement,
    )


class Client:
    """Calls actions, wherever the connection is just now. Made by `connect`; PROTOCOL 9.

    All of it belongs to the event loop in which it was started.
    """

    def __init__(
        self,
        url: str,
        token: Token,
        *,
        options: Options,
        on_state: Callable[[ClientState], object] | None = None,
        on_announcement: Callable[[Announcement], object] | None = None,
    ) -> None:
        self._url = checked_url(url)
        self._token = token if callable(token) else checked_token(token)
        self._options = options
        self._on_state = on_state
        self._on_announcement = on_announcement
        self._started: Connection | None = None

    async def __aenter__(self) -> Self:
        if self._started is not None:
            raise ConfigurationError("a client is started once; connect() gives another")
        connection = Connection(
            self._url, self._token, self._options, on_announcement=self._on_announcement
        )
        if self._on_state is not None:
            connection.states.append(self._on_state)
        self._started = connection
        connection.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def _connection(self) -> Connection:
        if self._started is None:
            raise ConfigurationError("the client is not started: use `async with connect(...)`")
        return self._started

    async def close(self) -> None:
        """Closes the client for good. What runs on the server goes on. PROTOCOL 9.3.4."""
        await self._connection.close()

    # The connection.

    @property
    def state(self) -> ClientState:
        """The state of the connection."""
        return self._connection.protocol.state

    @property
    def ignored(self) -> int:
        """How many messages of the server were ignored: of unknown type, or out of place."""
        return self._connection.protocol.ignored

    async def ready(self, *, timeout: float | None = None) -> None:
        """Waits until the connection is ready. Nothing needs this: requests wait by themselves.

        Raises:
            WaitTimeout: It is not ready within `timeout` seconds.
            ConnectionClosed: The client is closed for good.
        """
        connection = self._connection
        ends = (ConnectionState.READY, ConnectionState.DRAINING, ConnectionState.CLOSED)
        try:
            async with connection.patience(timeout):
                await connection.wait(
                    connection.state_changed, lambda: connection.protocol.state.name in ends
                )
        except TimeoutError:
            raise WaitTimeout from None
        if self.state.name == ConnectionState.CLOSED:
            raise ConnectionClosed(self.state.code, self.state.reason)

    async def states(self) -> AsyncGenerator[ClientState, None]:
        """Yields the state of the connection, and each one after it; ends with `closed`.

        Who takes them slowly gets the newest: at most 100 wait.
        """
        connection = self._connection
        waiting = [connection.protocol.state]

        def show(state: ClientState) -> None:
            waiting.append(state)
            del waiting[:-100]

        connection.states.append(show)
        try:
            while True:
                await connection.wait(connection.state_changed, lambda: bool(waiting))
                state = waiting.pop(0)
                yield state
                if state.name == ConnectionState.CLOSED:
                    return
        finally:
            connection.states.remove(show)

    # Requests.

    @overload
    async def call(
        self,
        action: Action[None, ResultT, ChunkT],
        payload: None = None,
        *,
        on_progress: Callback[Progress] | None = None,
        on_chunk: Callback[Chunk[ChunkT]] | None = None,
        on_status: Callback[Status] | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[RequestOptions],
    ) -> ResultT: ...

    @overload
    async def call(
        self,
        action: Action[ParamsT, ResultT, ChunkT],
        payload: ParamsT,
        *,
        on_progress: Callback[Progress] | None = None,
        on_chunk: Callback[Chunk[ChunkT]] | None = None,
        on_status: Callback[Status] | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[RequestOptions],
    ) -> ResultT: ...

    @overload
    async def call(
        self,
        action: str,
        payload: object = None,
        *,
        on_progress: Callback[Progress] | None = None,
        on_chunk: Callback[Chunk] | None = None,
        on_status: Callback[Status] | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[RequestOptions],
    ) -> JsonValue: ...

    async def call(
        self,
        action: Action[Any, Any, Any] | str,
        payload: Any = None,
        *,
        on_progress: Callback[Progress] | None = None,
        on_chunk: Callback[Chunk[Any]] | None = None,
        on_status: Callback[Status] | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[RequestOptions],
    ) -> Any:
        """Calls an action and returns its result, in a second or in a day.

        Args:
            action: What to call: a name, or an `Action` that knows its types.
            payload: Its arguments: any JSON value, pydantic model or dataclass; what an `Action`
                says.
            on_progress: Called with each progress.
            on_chunk: Called with each piece of the result, in order, each once. When an attempt
                begins anew, `on_status` tells which ones still stand (`chunks_kept_to`).
            on_status: Called when the request is queued, begins, or will be tried again.
            timeout: The caller's patience in seconds; None: for ever. Its end cancels nothing:
                `client.attach(error.request_id)` comes back.
            cancel_on_exit: What happens when the task that calls is cancelled. False: the request
                goes on without it. True: the server is asked to end the request.
            options: More about the request, see `RequestOptions`: `id`, `deadline`, `delay`,
                `priority`, `metadata`, `callback_url`, `traceparent`.

        The result is returned after all callbacks were made. What a callback raises is logged.

        Raises:
            RequestError: The request was refused, failed, was cancelled or timed out; by code.
            InvalidResult: The result or a chunk does not fit the types of the `Action`.
            WaitTimeout: The patience ended.
            QueueFull: Too much already waits to be sent.
            ConnectionClosed: The client is closed for good.
        """
        meant = named(action)
        callbacks = Callbacks(on_progress, on_chunk, on_status)
        handle = self._submit(
            meant,
            payload,
            keeps_first=bool(callbacks),
            cancel_on_exit=cancel_on_exit,
            **options,
        )
        return await handle._run(callbacks, timeout)

    @overload
    async def submit(
        self,
        action: Action[None, ResultT, ChunkT],
        payload: None = None,
        *,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[RequestOptions],
    ) -> RequestHandle[ResultT, ChunkT]: ...

    @overload
    async def submit(
        self,
        action: Action[ParamsT, ResultT, ChunkT],
        payload: ParamsT,
        *,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[RequestOptions],
    ) -> RequestHandle[ResultT, ChunkT]: ...

    @overload
    async def submit(
        self,
        action: str,
        payload: object = None,
        *,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[RequestOptions],
    ) -> RequestHandle: ...

    async def submit(
        self,
        action: Action[Any, Any, Any] | str,
        payload: Any = None,
        *,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[RequestOptions],
    ) -> RequestHandle[Any, Any]:
        """Submits a request and returns its handle once the server has stored it.

        A quick action is answered at once: its handle is finished and has no events.

        Args:
            action: As in `call`.
            payload: As in `call`.
            timeout: The patience in seconds until the server has it; None: for ever.
            cancel_on_exit: What happens when the handle's iteration is left early, or the task
                that waits for it is cancelled. False: the request goes on. True: the server is
                asked to end it.
            options: As in `call`.

        Raises:
            RequestError: The request was refused; by code.
            WaitTimeout: The patience ended.
            QueueFull: Too much already waits to be sent.
            ConnectionClosed: The client is closed for good.
        """
        meant = named(action)
        handle = self._submit(meant, payload, cancel_on_exit=cancel_on_exit, **options)
        await handle._settle(timeout)
        return handle

    @overload
    def attach(
        self, id: str, action: Action[Any, ResultT, ChunkT], *, cancel_on_exit: bool = False
    ) -> RequestHandle[ResultT, ChunkT]: ...

    @overload
    def attach(
        self, id: str, action: str | None = None, *, cancel_on_exit: bool = False
    ) -> RequestHandle: ...

    def attach(
        self,
        id: str,
        action: Action[Any, Any, Any] | str | None = None,
        *,
        cancel_on_exit: bool = False,
    ) -> RequestHandle[Any, Any]:
        """Returns a handle of a request that was submitted by anybody of the same identity.

        Does not wait: an id that is unknown to the server shows when the handle is used.

        Args:
            id: The request.
            action: Which action it is of, if the types of its result and chunks are to be known.
                The server does not compare it.
            cancel_on_exit: As in `submit`.

        Raises:
            ValidationError: It has not the form of an id.
            ConnectionClosed: The client is closed for good.
        """
        with self._connection.step() as now:
            state = self._connection.protocol.attach(id, now)
        meant = named("" if action is None else action)
        return RequestHandle(self._connection, state, meant, cancel_on_exit=cancel_on_exit)

    @overload
    def map(
        self,
        action: Action[ParamsT, ResultT, Any],
        payloads: Iterable[ParamsT] | AsyncIterable[ParamsT],
        *,
        max_in_flight: int = 100,
        ordered: bool = True,
        id: Callable[[ParamsT], str] | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[SharedOptions],
    ) -> MapIterator[ParamsT, ResultT]: ...

    @overload
    def map(
        self,
        action: str,
        payloads: Iterable[PayloadT] | AsyncIterable[PayloadT],
        *,
        max_in_flight: int = 100,
        ordered: bool = True,
        id: Callable[[PayloadT], str] | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[SharedOptions],
    ) -> MapIterator[PayloadT, JsonValue]: ...

    def map(
        self,
        action: Action[Any, Any, Any] | str,
        payloads: Iterable[Any] | AsyncIterable[Any],
        *,
        max_in_flight: int = 100,
        ordered: bool = True,
        id: Callable[[Any], str] | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[SharedOptions],
    ) -> MapIterator[Any, Any]:
        """Calls an action for each payload, many at once, and yields what became of each.

        ::

            async for item in client.map("resize", images, ordered=False):
                print(item.payload, item.result)  # `result` raises where there is none

        A failure ends nothing: its item says so by `error`, and raises it from `result`. Leaving
        early, by that or by `break`, leaves the requests that are not finished: they go on.

        Args:
            action: As in `call`.
            payloads: What to call it with; a plain or an async iterable, which may be endless: a
                payload is taken from it when there is room. A plain one is advanced in the event
                loop, so it should not block.
            max_in_flight: How many requests may be submitted and not yet taken from here; finished
                ones that wait for their turn, or for a slow application, count.
            ordered: Whether items come in the order of the payloads; False: as they are finished.
            id: Says the id of the request of a payload, so that a map that is started again
                repeats nothing. None: a fresh UUIDv7 each.
            timeout: The patience for each request, in seconds, from its submission; None: for ever.
            cancel_on_exit: True: leaving early asks the server to end what is not finished.
            options: As in `call`, for each of them.

        Raises:
            ConfigurationError: `max_in_flight` is less than 1.
            ConnectionClosed: The client is closed for good; from the iteration.
            Exception: What `payloads` or `id` raises; from the iteration.
        """
        if max_in_flight < 1:
            raise ConfigurationError(f"max_in_flight must be at least 1, not {max_in_flight}")
        meant = named(action)

        def submit(payload: Any) -> RequestHandle[Any, Any]:
            return self._submit(
                meant,
                payload,
                keeps_first=False,
                cancel_on_exit=cancel_on_exit,
                id=None if id is None else id(payload),
                **options,
            )

        return MapIterator(
            Mapping(
                self._connection,
                payloads,
                submit,
                size=max_in_flight,
                ordered=ordered,
                timeout=timeout,
            )
        )

    async def requests(
        self,
        *,
        status: str | Iterable[str] | None = None,
        action: str | None = None,
        sub: str | None = None,
        page_size: int | None = None,
    ) -> AsyncGenerator[RequestSummary, None]:
        """Yields the requests of this identity, the newest first. PROTOCOL 10.47.

        Args:
            status: Only those in this status, or in one of these.
            action: Only those of this action.
            sub: Those of another subject of the tenant; needs `requests:read:tenant`.
            page_size: How many to ask for at once, 1 to 200; the server's default is 50.

        Raises:
            RequestError: The server refused.
            ConnectionClosed: The client is closed for good.
        """
        connection = self._connection
        statuses = [status] if isinstance(status, str) else None if status is None else [*status]
        cursor: str | None = None
        while True:
            with connection.step() as now:
                question = connection.protocol.list(
                    now, status=statuses, action=action, sub=sub, limit=page_size, cursor=cursor
                )
            try:
                await connection.wait(question.changed, lambda q=question: q.is_answered)  # type: ignore[misc]
            finally:
                connection.protocol.forget_list(question)
            if question.error is not None:
                raise question.error._with()
            assert question.answer is not None
            for summary in question.answer.requests:
                yield summary
            cursor = question.answer.next_cursor
            if cursor is None:
                return

    def _submit(
        self,
        action: Action[Any, Any, Any],
        payload: object,
        *,
        keeps_first: bool = True,
        cancel_on_exit: bool = False,
        id: str | None = None,
        deadline: Duration | None = None,
        delay: Duration | None = None,
        priority: int | None = None,
        metadata: abc.Mapping[str, str] | None = None,
        callback_url: str | None = None,
        traceparent: str | None = None,
    ) -> RequestHandle[Any, Any]:
        """Submits, and waits for nothing."""
        connection = self._connection
        request_id = id if id is not None else new_request_id()
        traced, end_trace = self._trace(action.name, request_id)
        try:
            with connection.step() as now:
                state = connection.protocol.submit(
                    request_id,
                    action.name,
                    action._encode(payload),
                    now,
                    is_own_id=id is not None,
                    deadline_ms=_milliseconds(deadline, "/deadline_ms"),
                    delay_ms=_milliseconds(delay, "/delay_ms"),
                    priority=priority,
                    metadata=None if metadata is None else dict(metadata),
                    callback_url=callback_url,
                    traceparent=traceparent if traceparent is not None else traced,
                )
        except LongcallError as error:
            if end_trace is not None:
                call_safely(end_trace, error)
            raise
        return RequestHandle(
            connection,
            state,
            action,
            keeps_first=keeps_first,
            cancel_on_exit=cancel_on_exit,
            end_trace=end_trace,
        )

    def _trace(self, action: str, request_id: str) -> tuple[str | None, EndTrace | None]:
        trace = self._options.trace
        if trace is None:
            return None, None
        try:
            return trace(action, request_id)
        except Exception:  # PROTOCOL 9.9.1
            logger.exception("tracing of a request failed")
            return None, None


def _milliseconds(duration: Duration | None, pointer: str) -> int | None:
    if duration is None:
        return None
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    try:
        is_finite = math.isfinite(seconds)
    except TypeError:
        is_finite = False
    if not is_finite:
        raise invalid(pointer, f"{seconds!r} is no duration; None means none")
    return round(seconds * 1000)
