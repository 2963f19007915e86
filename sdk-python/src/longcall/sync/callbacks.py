# SPDX-License-Identifier: Apache-2.0
"""In which thread the application's functions run: never in the one that reads the socket.

`on_state` and `on_announcement` have a thread of their own, each asking for a token has one as
well. What `call` tells is told in the thread that called, see `waiting`.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from ..asyncio.connection import call_safely
from ..options import Token, TokenReason

ValueT = TypeVar("ValueT")
Item = tuple[Callable[[Any], object], Any]

MOST_WAITING: Final = 1000
"""Calls that wait for a callback that takes long; then the oldest are left out."""


class Notifier:
    """A thread in which callbacks are called one by one; it begins with the first call.

    They may wait, and use the client.
    """

    def __init__(self) -> None:
        self._items: SimpleQueue[Item | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def wrap(self, callback: Callable[[ValueT], object]) -> Callable[[ValueT], None]:
        """Returns what has the callback called. For the event loop's thread alone."""

        def notify(value: ValueT) -> None:
            if self._thread is None:
                # The thread must know nothing by which it would keep a forgotten client alive.
                self._thread = threading.Thread(
                    target=_call_each, args=(self._items,), name="longcall callbacks", daemon=True
                )
                self._thread.start()
            if self._items.qsize() >= MOST_WAITING:
                self._items.get()
            self._items.put((callback, value))

        return notify

    def stop(self) -> None:
        """Ends the thread behind what waits. For the event loop's thread alone."""
        self._items.put(None)

    def join(self, timeout: float) -> None:
        """Waits until all were called, if that does not take too long."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)


def _call_each(items: SimpleQueue[Item | None]) -> None:
    while (item := items.get()) is not None:
        call_safely(*item)
        del item  # or the last value would live until the next one


def token_in_thread(token: Token) -> Token:
    """Returns a token for the event loop: a plain function, which may wait, gets a thread."""
    if not callable(token) or inspect.iscoroutinefunction(token):
        return token
    ask = token

    async def fetch(reason: TokenReason) -> str:
        answer = await _in_thread(ask, reason)
        return await answer if inspect.isawaitable(answer) else answer

    return fetch


async def _in_thread(
    ask: Callable[[TokenReason], str | Awaitable[str]], reason: TokenReason
) -> str | Awaitable[str]:
    """Calls in a thread that nobody waits for: a function that hangs holds up no exit."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[str | Awaitable[str]] = loop.create_future()

    def work() -> None:
        try:
            answer = ask(reason)
        except BaseException as error:
            # A task that ends with SystemExit would end the event loop.
            raised = error if isinstance(error, Exception) else RuntimeError(repr(error))
            tell(answered.set_exception, raised)
        else:
            tell(answered.set_result, answer)

    def tell(settle: Callable[[Any], None], value: object) -> None:
        with suppress(RuntimeError):  # the client was closed meanwhile
            loop.call_soon_threadsafe(lambda: None if answered.done() else settle(value))

    threading.Thread(target=work, name="longcall token", daemon=True).start()
    return await answered
