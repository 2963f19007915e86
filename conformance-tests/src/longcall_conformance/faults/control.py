# SPDX-License-Identifier: Apache-2.0
"""The suite's own connection to the server, past the proxy: gates are opened, counters are read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from ..referee.connection import Ended, RefereeConnection
from ..referee.handshake import HandshakeRefused
from ..referee.raw_client import open_connection
from ..runner.under_test import ServerFailed

JsonObject = dict[str, Any]

_AT_A_TIME: Final = 500
"""Counters that one message asks for."""
_ANSWER_SECONDS: Final = 60
_ANSWERS: Final = frozenset(("response", "complete", "error"))
"""On a machine that is busy a quick request may be stored, and end as a durable one does."""


class Control:
    """Asks `conf.control`, as one who may do nothing else; raises `ServerFailed` if it cannot."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._record: list[JsonObject] = []
        self._connection: RefereeConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._asked = 0
        self._ended: Ended | None = None
        self._coming = asyncio.Lock()
        self._waiting: dict[str, asyncio.Future[JsonObject]] = {}

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._leave()

    async def _connect(self) -> None:
        connection = await open_connection(self._url, "control", self._record)
        connection.send({"type": "hello", "token": self._token})
        welcome = await connection.receive()
        if welcome.get("type") != "welcome":
            await connection.close()
            raise ServerFailed(f"conf.control: got {welcome!r:.300}, not welcome")
        self._connection, self._ended = connection, None
        self._task = asyncio.create_task(self._read(connection), name="control")

    async def _leave(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()

    async def release(self, gate: str) -> None:
        """Opens a gate, for good."""
        await self._ask({"release": gate})

    async def counts(self, names: Sequence[str]) -> dict[str, int]:
        """What the counters stand at."""
        told: dict[str, int] = {}
        for start in range(0, len(names), _AT_A_TIME):
            part = list(names[start : start + _AT_A_TIME])
            told.update((await self._ask({"counts": part}))["counts"])
        return told

    async def _ask(self, payload: JsonObject) -> JsonObject:
        """Asks until there is an answer: what is asked may be asked twice."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                while True:
                    with contextlib.suppress(Ended):
                        await self._come_back()
                        return await self._ask_once(payload)
        except TimeoutError:
            raise ServerFailed(f"conf.control: no answer in {_ANSWER_SECONDS} s") from None
        except (OSError, HandshakeRefused) as error:
            raise ServerFailed(f"conf.control: {error}") from None

    async def _ask_once(self, payload: JsonObject) -> JsonObject:
        assert self._connection is not None
        self._asked += 1
        name = f"control-{self._asked}"
        answer: asyncio.Future[JsonObject] = asyncio.get_running_loop().create_future()
        self._waiting[name] = answer
        self._connection.send(
            {"type": "request", "id": name, "action": "conf.control", "payload": payload}
        )
        return await answer

    async def _come_back(self) -> None:
        """A machine that is busy may answer pings too late, and is closed with 4408."""
        async with self._coming:
            if self._ended is not None:
                await self._leave()
                await self._connect()

    async def _read(self, connection: RefereeConnection) -> None:
        try:
            while True:
                message = await connection.receive()
                self._record.clear()  # a run may be long
                if message["type"] == "ping":
                    connection.send({**message, "type": "pong"})
                elif message["type"] in _ANSWERS:
                    self._settle(message)
        except Ended as ended:
            self._ended = ended
            waiting, self._waiting = self._waiting, {}
            for answer in waiting.values():
                if not answer.done():
                    answer.set_exception(ended)

    def _settle(self, message: JsonObject) -> None:
        answer = self._waiting.pop(message.get("request_id", ""), None)
        if answer is None or answer.done():
            return
        if "result" in message:
            answer.set_result(dict(message["result"]))
        else:
            answer.set_exception(ServerFailed(f"conf.control: got {message!r:.300}"))
