# SPDX-License-Identifier: Apache-2.0
"""The drivers of a run: started when they are first needed, used again, always stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from .driver import Driver

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class DriverCommand:
    """A driver: the name in the tables, and its command (see `link`)."""

    name: str
    command: str

    @property
    def is_one(self) -> bool:
        """Whether there is but one, that somebody else starts."""
        return self.command.startswith(("listen:", "listen-ws:"))


class DriverPool:
    """One SDK's drivers. Each serves one play at a time, and is reset behind it."""

    def __init__(self, command: DriverCommand, cwd: Path) -> None:
        self._command = command
        self._cwd = cwd
        self._idle: list[Driver] = []
        self.about: JsonObject = {}
        """What the newest one said of itself."""
        self._turns = asyncio.Semaphore(1 if command.is_one else 1_000)

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Driver]:
        """A driver that is as good as new. One whose play raised is stopped, and not used again."""
        async with self._turns:
            driver = (
                self._idle.pop() if self._idle else Driver(self._command.command, cwd=self._cwd)
            )
            try:
                if not driver.about:
                    await driver.start()
                    self.about = driver.about
                yield driver
            except BaseException:
                await driver.stop(kill=True)
                raise
            if driver.failure is None:
                self._idle.append(driver)
            else:
                await driver.stop()

    async def stop(self) -> list[str]:
        """Ends all of them; returns what was wrong with that."""
        idle, self._idle = self._idle, []
        wrong = await asyncio.gather(*(driver.stop() for driver in idle))
        return [text for text in wrong if text is not None]


class DriverPools:
    """Those of a run, by name."""

    def __init__(self, commands: Sequence[DriverCommand], cwd: Path) -> None:
        self._pools = {command.name: DriverPool(command, cwd) for command in commands}

    def __getitem__(self, name: str) -> DriverPool:
        return self._pools[name]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> dict[str, list[str]]:
        """Ends all drivers; returns what was wrong with that, by their names."""
        wrong = await asyncio.gather(*(pool.stop() for pool in self._pools.values()))
        return {name: told for name, told in zip(self._pools, wrong, strict=True) if told}
