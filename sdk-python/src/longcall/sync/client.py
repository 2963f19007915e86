# SPDX-License-Identifier: Apache-2.0
"""The door: `connect`, and what a client can ask."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from pydantic import JsonValue

from ..actions import Action, ChunkT, ParamsT, ResultT, named
from ..asyncio.client import Client as AsyncClient
from ..asyncio.handle import RequestHandle as AsyncHandle
from ..errors import ConfigurationError
from ..events import Announcement, Chunk, ClientState, MapItem, Progress, RequestSummary, Status
from ..options import Options, RequestOptions, SharedOptions, Token
from .callbacks import Notifier, token_in_thread
from .connection import Connection
from .handle import Callback, RequestHandle

PayloadT = TypeVar("PayloadT")


def connect(
    url: str,
    token: Token = None,
    *,
    options: Options | None = None,
    on_state: Callable[[ClientState], object] | None = None,
    on_announcement: Callable[[Announcement], object] | None = None,
) -> Client:
    """Returns a client; `with` closes it.

    ::

        with longcall.sync.connect("wss://example.com/v1/connect", token=fetch_token) as client:
            report = client.call("generate_report", {"format": "csv"})

    It starts with its first use, so that a server which forks its workers may make it before. It
    connects in the background and reconnects for ever: requests made meanwhile wait.

    Args:
        url: Where the server is; `/v1/connect` is put where the path lacks.
        token: The JWT, or a function, plain or async, that gives a fresh one each time. It is
            called with the reason: `"connect"`, `"refresh"`, or `"unauthorized"` when the server
            refused the one before. One that fails is called again later. A plain one is called in
            a thread of its own, and may wait; what an async one does waits in the client's thread.
        options: How the client behaves.
        on_state: Called at each change of the connection's state.
        on_announcement: Called with each announcement of an operator. Both are called one by one
            in a thread that is theirs: they may wait, and use the client.

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

    It may be used from any thread, by any number of them at once, whether an event loop runs there
    or not. Ctrl-C ends the waiting of the main thread and nothing else. In a child of the process
    that used it first, every call raises `Forked`.

    It is closed by `with`, by `close()`, at the exit of the interpreter, and when nobody has it any
    more; a callback that refers to it has it.
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
        notifier = Notifier()
        client = AsyncClient(
            url,
            token_in_thread(token),
            options=options,
            on_state=notifier.wrap(on_state) if on_state else None,
            on_announcement=notifier.wrap(on_announcement) if on_announcement else None,
        )
        self._connection = Connection(client, notifier, options.close_timeout)
        self._client = client
        # The thread knows nothing of this object. At exit, connection.py closes what is left.
        weakref.finalize(self, self._connection.begin_to_close).atexit = False

    def __enter__(self) -> Self:
        if self._connection.is_closed:
            raise ConfigurationError("a closed client stays closed; connect() gives another")
        self._connection.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the client for good. What runs on the server goes on. PROTOCOL 9.3.4.

        In a child process it does nothing: the connection is the parent's.
        """
        self._connection.close()

    # The connection.

    @property
    def state(self) -> ClientState:
        """The state of the connection."""
        return self._connection.do(lambda: self._client.state)

    @property
    def ignored(self) -> int:
        """How many messages of the server were ignored: of unknown type, or out of place."""
        return self._connection.do(lambda: self._client.ignored)

    def ready(self, *, timeout: float | None = None) -> None:
        """Waits until the connection is ready. Nothing needs this: requests wait by themselves.

        Raises:
            WaitTimeout: It is not ready within `timeout` seconds.
            ConnectionClosed: The client is closed for good.
        """
        self._connection.run(lambda: self._client.ready(timeout=timeout))

    def states(self) -> Generator[ClientState, None, None]:
        """Yields the state of the connection, and each one after it; ends with `closed`.

        Who takes them slowly gets the newest: at most 100 wait.
        """
        return self._connection.iterate(self._client.states)

    # Requests.

    @overload
    def call(
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
    def call(
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
    def call(
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

    def call(
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
            cancel_on_exit: What happens when the waiting is interrupted, by Ctrl-C. False: the
                request goes on without it. True: the server is asked to end the request.
            options: More about the request, see `RequestOptions`: `id`, `deadline`, `delay`,
                `priority`, `metadata`, `callback_url`, `traceparent`.

        Callbacks are called in the thread that called, and the result is returned after all of
        them. What a callback raises is logged.

        Raises:
            RequestError: The request was refused, failed, was cancelled or timed out; by code.
            InvalidResult: The result or a chunk does not fit the types of the `Action`.
            WaitTimeout: The patience ended.
            QueueFull: Too much already waits to be sent.
            ConnectionClosed: The client is closed for good.
        """
        meant = named(action)
        inbox = self._connection.inbox()
        return self._connection.run(
            lambda: self._client.call(
                meant,
                payload,
                on_progress=inbox.relay(on_progress),
                on_chunk=inbox.relay(on_chunk),
                on_status=inbox.relay(on_status),
                timeout=timeout,
                cancel_on_exit=cancel_on_exit,
                **options,
            ),
            inbox=inbox,
        )

    @overload
    def submit(
        self,
        action: Action[None, ResultT, ChunkT],
        payload: None = None,
        *,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[RequestOptions],
    ) -> RequestHandle[ResultT, ChunkT]: ...

    @overload
    def submit(
        self,
        action: Action[ParamsT, ResultT, ChunkT],
        payload: ParamsT,
        *,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[RequestOptions],
    ) -> RequestHandle[ResultT, ChunkT]: ...

    @overload
    def submit(
        self,
        action: str,
        payload: object = None,
        *,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[RequestOptions],
    ) -> RequestHandle: ...

    def submit(
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
            cancel_on_exit: What happens when the handle's iteration is left early, or the waiting
                for it is interrupted. False: the request goes on. True: the server is asked to
                end it.
            options: As in `call`.

        Raises:
            RequestError: The request was refused; by code.
            WaitTimeout: The patience ended.
            QueueFull: Too much already waits to be sent.
            ConnectionClosed: The client is closed for good.
        """
        meant = named(action)
        handle = self._connection.run(
            lambda: self._client.submit(
                meant, payload, timeout=timeout, cancel_on_exit=cancel_on_exit, **options
            ),
            drop=AsyncHandle.detach,
        )
        return RequestHandle(self._connection, handle, self)

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
        meant = None if action is None else named(action)
        handle = self._connection.do(
            lambda: self._client.attach(id, meant, cancel_on_exit=cancel_on_exit),
            drop=AsyncHandle.detach,
        )
        return RequestHandle(self._connection, handle, self)

    @overload
    def map(
        self,
        action: Action[ParamsT, ResultT, Any],
        payloads: Iterable[ParamsT],
        *,
        max_in_flight: int = 100,
        ordered: bool = True,
        id: Callable[[ParamsT], str] | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[SharedOptions],
    ) -> Generator[MapItem[ParamsT, ResultT], None, None]: ...

    @overload
    def map(
        self,
        action: str,
        payloads: Iterable[PayloadT],
        *,
        max_in_flight: int = 100,
        ordered: bool = True,
        id: Callable[[PayloadT], str] | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[SharedOptions],
    ) -> Generator[MapItem[PayloadT, JsonValue], None, None]: ...

    def map(
        self,
        action: Action[Any, Any, Any] | str,
        payloads: Iterable[Any],
        *,
        max_in_flight: int = 100,
        ordered: bool = True,
        id: Callable[[Any], str] | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool = False,
        **options: Unpack[SharedOptions],
    ) -> Generator[MapItem[Any, Any], None, None]:
        """Calls an action for each payload, many at once, and yields what became of each.

        ::

            for item in client.map("resize", images, ordered=False):
                print(item.payload, item.result)  # `result` raises where there is none

        A failure ends nothing: its item says so by `error`, and raises it from `result`. Leaving
        early, by that or by `break`, leaves the requests that are not finished: they go on.

        Args:
            action: As in `call`.
            payloads: What to call it with; may be endless: a payload is taken from it when there
                is room, in the thread that iterates, while that waits for the next item.
            max_in_flight: How many requests may be submitted and not yet taken from here; finished
                ones that wait for their turn, or for a slow application, count.
            ordered: Whether items come in the order of the payloads; False: as they are finished.
            id: Says the id of the request of a payload, so that a map that is started again
                repeats nothing; called in the client's thread. None: a fresh UUIDv7 each.
            timeout: The patience for each request, in seconds, from its submission; None: for ever.
            cancel_on_exit: True: leaving early asks the server to end what is not finished.
            options: As in `call`, for each of them.

        Raises:
            ConfigurationError: `max_in_flight` is less than 1.
            ConnectionClosed: The client is closed for good; from the iteration.
            Exception: What `payloads` or `id` raises; from the iteration.
        """
        meant, inbox = named(action), self._connection.inbox()
        advanced = iter(payloads)

        async def each() -> AsyncGenerator[Any, None]:
            while (payload := await inbox.ask(lambda: next(advanced, inbox))) is not inbox:
                yield payload

        async def items() -> AsyncGenerator[MapItem[Any, Any], None]:
            mapping = self._client.map(
                meant,
                each(),
                max_in_flight=max_in_flight,
                ordered=ordered,
                id=id,
                timeout=timeout,
                cancel_on_exit=cancel_on_exit,
                **options,
            )
            async with aclosing(mapping):
                async for item in mapping:
                    yield item

        return self._connection.iterate(items, inbox)

    def requests(
        self,
        *,
        status: str | Iterable[str] | None = None,
        action: str | None = None,
        sub: str | None = None,
        page_size: int | None = None,
    ) -> Generator[RequestSummary, None, None]:
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
        return self._connection.iterate(
            lambda: self._client.requests(
                status=status, action=action, sub=sub, page_size=page_size
            )
        )
