# SPDX-License-Identifier: Apache-2.0
"""Drives the protocol with sockets, tasks and a clock. Decides nothing: `protocol` does."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from .. import __version__
from ..errors import ConfigurationError
from ..events import Announcement, ClientState
from ..options import Options, Token, TokenReason
from ..protocol import (
    Announced,
    ClientProtocol,
    Close,
    Effect,
    FetchToken,
    Open,
    Send,
    SetReadLimit,
    Signal,
    StateChanged,
    Warned,
)
from .failures import OpenFailed
from .platform import Socket, Timer, platform_of

logger = logging.getLogger("longcall")

MAX_TOKEN = 16384  # characters


class TokenFailed(Exception):
    """Raised when the application's token function gave no token; it quotes nothing of it."""


class Connection:
    """One client's sockets and tasks; `protocol` says what to do with them."""

    def __init__(
        self,
        url: str,
        token: Token,
        options: Options,
        *,
        on_announcement: Callable[[Announcement], object] | None = None,
    ) -> None:
        self.url = url
        self.options = options
        self.protocol = ClientProtocol(options, __version__)
        self.state_changed = Signal()
        self.states: list[Callable[[ClientState], object]] = []
        self._token = token
        self._token_lock = asyncio.Lock()
        self._on_announcement = on_announcement
        self._loop = asyncio.get_running_loop()
        self._platform = platform_of(url, options)
        self._transports: dict[int, Socket] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}  # one a link
        self._others: set[asyncio.Task[None]] = set()
        self._timer: Timer | None = None
        self._timer_due = 0.0
        self._performing = False
        self._is_closed = False
        self._stepping = False

    # Talking to the protocol.

    @contextmanager
    def step(self) -> Iterator[float]:
        """Gives the time for one call of the protocol, and does afterwards what it wants done."""
        now = self._platform.now()
        self._stepping, outer = True, self._stepping
        try:
            yield now
        finally:
            self._stepping = outer
            self._perform()
            self._arm(now)

    def soon(self, act: Callable[[], None]) -> None:
        """Does something in the loop, at once if this is no moment of its own; from any thread."""
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if is_here and not self._stepping:
            act()
        else:
            with suppress(RuntimeError):  # it is closed, perhaps just now: nothing is left to do
                self._loop.call_soon_threadsafe(act)

    def _perform(self) -> None:
        if self._performing:
            return  # a callback of the application called us: its effects come behind the others
        self._performing = True
        try:
            while effects := self.protocol.take_effects():
                for effect in effects:
                    self._do(effect)
        finally:
            self._performing = False

    async def wait(self, signal: Signal, is_true: Callable[[], bool]) -> None:
        """Waits until something holds that can only change when the signal fires."""
        while not is_true():
            changed = self._loop.create_future()

            def wake(changed: asyncio.Future[None] = changed) -> None:
                if not changed.done():
                    changed.set_result(None)

            unsubscribe = signal.subscribe(wake)
            try:
                await changed
            finally:
                unsubscribe()

    @asynccontextmanager
    async def patience(self, seconds: float | None) -> AsyncIterator[None]:
        """Raises `TimeoutError` after so many seconds of the platform's clock; None: never."""
        async with asyncio.timeout(None) as limit:
            timer = None
            if seconds is not None:
                timer = self._platform.call_later(
                    max(0.0, seconds), lambda: limit.reschedule(self._loop.time())
                )
            try:
                yield
            finally:
                if timer is not None:
                    timer.cancel()

    def start(self) -> None:
        with self.step() as now:
            self.protocol.start(now)

    async def close(self) -> None:
        """Closes for good, and leaves no task, timer or socket behind."""
        with self.step() as now:
            self.protocol.close(now)
        self._is_closed = True
        for task in self._others:  # a token function may hang
            task.cancel()
        while tasks := [*self._tasks.values(), *self._others]:
            await asyncio.wait(tasks)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def sockets(self) -> list[int]:
        """Returns the file numbers of the open sockets."""
        numbers = [transport.fileno for transport in tuple(self._transports.values())]
        return [number for number in numbers if number >= 0]

    def _arm(self, now: float) -> None:
        if self._is_closed:
            return
        due = self.protocol.next_timeout()
        if self._timer is not None:
            # An earlier timer stays: it fires, finds nothing due, and arms the next.
            if due is not None and self._timer_due <= due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer_due = due
            self._timer = self._platform.call_later(max(0.0, due - now), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        with self.step() as now:
            self.protocol.handle_timeout(now)

    # Doing what it wants done.

    def _do(self, effect: Effect) -> None:
        match effect:
            case Send(link, text):
                if (transport := self._transports.get(link)) is not None:
                    transport.send(text)
            case Open(link, reason):
                task = asyncio.create_task(self._run(link, reason), name=f"longcall link {link}")
                self._tasks[link] = task
                task.add_done_callback(lambda _: self._ended(link))
            case Close():
                self._close_link(effect)
            case SetReadLimit(link, max_bytes):
                if (transport := self._transports.get(link)) is not None:
                    transport.set_read_limit(max_bytes)
            case FetchToken(link):
                self.spawn(self._refresh(link))
            case StateChanged(state):
                self._show_state(state)
            case Announced(announcement):
                if self._on_announcement is not None:
                    call_safely(self._on_announcement, announcement)
            case Warned(text):
                logger.warning("%s", text)

    def _close_link(self, close: Close) -> None:
        transport = self._transports.get(close.link)
        if transport is None:
            # Still opening; or its task was ended by somebody else, as asyncio.run() does.
            if (task := self._tasks.get(close.link)) is not None:
                task.cancel()
        elif close.abort:
            transport.abort()
        else:
            transport.close(close.code, close.reason)

    def _show_state(self, state: ClientState) -> None:
        logger.info(
            "%s%s%s",
            state.name,
            f" in {state.retry_in:.2f} s" if state.retry_in is not None else "",
            f": {state.code or ''} {state.reason}" if state.code or state.reason else "",
        )
        for show in tuple(self.states):
            call_safely(show, state)
        self.state_changed.fire()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begins a task that does not outlive the client: `close` cancels it and waits for it."""
        task = asyncio.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)
        return task

    # A link.

    async def _run(self, link: int, reason: TokenReason) -> None:
        """Opens a socket and reads it until it is closed. Ends by telling the protocol."""
        try:
            token = await self.fetch_token(reason)
            transport = await self._platform.open(self.url, self.options)
        except asyncio.CancelledError:
            return  # _ended tells it
        except (TokenFailed, OpenFailed) as failed:
            with self.step() as now:
                self.protocol.handle_open_failed(
                    link,
                    now,
                    status=getattr(failed, "status", None),
                    retry_after=getattr(failed, "retry_after", None),
                    reason=str(failed),
                )
            return
        except Exception:
            logger.exception("opening a connection broke in an unexpected way; it is tried again")
            return
        self._transports[link] = transport
        code, why = None, "the connection was lost"
        try:
            with self.step() as now:
                self.protocol.handle_opened(link, token, now)
            code, why = await transport.run(lambda message: self._take(link, message))
        except Exception:
            logger.exception("a connection broke in an unexpected way; it is opened anew")
        finally:
            del self._transports[link]
            self._closed(link, code, why)

    def _ended(self, link: int) -> None:
        """A link's task is over. One that was cancelled before it began has told nobody."""
        del self._tasks[link]
        self._closed(link, None, "")

    def _closed(self, link: int, code: int | None, reason: str) -> None:
        with self.step() as now:
            self.protocol.handle_closed(link, code, reason, now)

    def _take(self, link: int, message: str | bytes) -> None:
        with self.step() as now:
            if isinstance(message, str):
                self.protocol.handle_text(link, message, now)
            else:
                self.protocol.handle_binary(link)

    # The token.

    async def fetch_token(self, reason: TokenReason) -> str | None:
        """Asks the application for a token, one call at a time. PROTOCOL 9.4.4.

        Raises:
            TokenFailed: There was none, or something that is no token.
        """
        token: object = self._token
        if callable(token):
            try:
                async with self._token_lock:
                    token = token(reason)
                    if inspect.isawaitable(token):
                        token = await token
            except Exception as error:
                logger.exception("the token function failed")
                raise TokenFailed(f"the token function raised {type(error).__name__}") from None
        try:
            return checked_token(token)
        except ConfigurationError as error:
            raise TokenFailed(str(error)) from None

    async def _refresh(self, link: int) -> None:
        token: str | None = None
        try:
            token = await self.fetch_token("refresh")
        except TokenFailed as failed:
            logger.warning("the token is not refreshed: %s", failed)
        with self.step() as now:
            self.protocol.handle_token(link, token, now)


def checked_token(token: object) -> str | None:
    """Returns a token that can be sent, else raises `ConfigurationError`; it quotes nothing."""
    if token is None:
        return None
    if not isinstance(token, str):
        raise ConfigurationError(f"a token is a string, not {type(token).__name__}")
    if not 0 < len(token) <= MAX_TOKEN:
        raise ConfigurationError(f"a token has 1 to {MAX_TOKEN} characters, not {len(token)}")
    return token


def call_safely(callback: Callable[..., object], *arguments: object) -> object:
    """Calls the application; what it raises is logged and goes no further. PROTOCOL 9.9.1."""
    try:
        return callback(*arguments)
    except Exception:
        logger.exception("a callback of the application failed")
        return None
