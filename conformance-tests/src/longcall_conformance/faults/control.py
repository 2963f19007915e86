# SPDX-License-Identifier: Apache-2.0
"""The suite's own connection to the server, past the proxy: gates are opened, counters are read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from ..referee.connection import Ended, RefereeConnection
from ..referee.raw_client import open_connection
from ..runner.under_test import ServerFailed

JsonObject = dict[str, Any]

_AT_A_TIME: Final = 500
"""Counters that one message asks for."""
_ANSWER_SECONDS: Final = 60


class Control:
    """Asks `conf.control`, as one who may do nothing else; raises `ServerFailed` if it cannot."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._record: list[JsonObject] = []
        self._connection: RefereeConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._asked = 0
        self._waiting: dict[str, asyncio.Future[JsonObject]] = {}

    async def __aenter__(self) -> Self:
        self._connection = await open_connection(self._url, "control", self._record)
        self._connection.send({"type": "hello", "token": self._token})
        welcome = await self._connection.receive()
        if welcome.get("type") != "welcome":
            raise ServerFailed(f"conf.control: got {welcome!r:.300}, not welcome")
        self._task = asyncio.create_task(self._read(self._connection), name="control")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._connection is not None
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
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
        assert self._connection is not None
        self._asked += 1
        name = f"control-{self._asked}"
        answer: asyncio.Future[JsonObject] = asyncio.get_running_loop().create_future()
        self._waiting[name] = answer
        self._connection.send(
            {"type": "request", "id": name, "action": "conf.control", "payload": payload}
        )
        try:
            return await asyncio.wait_for(answer, _ANSWER_SECONDS)
        except TimeoutError:
            raise ServerFailed(f"conf.control: no answer in {_ANSWER_SECONDS} s") from None

    async def _read(self, connection: RefereeConnection) -> None:
        try:
            while True:
                message = await connection.receive()
                self._record.clear()  # a run may be long
                if message["type"] == "ping":
                    connection.send({**message, "type": "pong"})
                elif (answer := self._waiting.pop(message.get("request_id", ""), None)) is not None:
                    self._settle(answer, message)
        except Ended as ended:
            for answer in self._waiting.values():
                answer.set_exception(ServerFailed(f"conf.control: {ended}"))

    @staticmethod
    def _settle(answer: asyncio.Future[JsonObject], message: JsonObject) -> None:
        if answer.done():
            return
        if message["type"] == "response":
            answer.set_result(dict(message["result"]))
        else:
            answer.set_exception(ServerFailed(f"conf.control: got {message!r:.300}"))
