# SPDX-License-Identifier: Apache-2.0
"""A data folder as servers leave it, and the operator's commands on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from longcall_server.__main__ import main
from longcall_server.config import Settings, load_settings
from longcall_server.files import FileStore
from longcall_server.stores.base import Lease, Owner, StoredFile
from longcall_server.stores.sqlite import SqliteStore
from longcall_server.stores.suite import ManualClock, Scene
from longcall_server.stores.suite.support import ALICE

T = TypeVar("T")


@dataclass
class Said:
    """What a command left on its way."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Its JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class DataFolder:
    """The data folder of no running server."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.clock = ManualClock()
        self._capsys = capsys

    @property
    def settings(self) -> Settings:
        return load_settings(data_dir=self.path)

    def play(self, story: Callable[[Scene], Awaitable[T]]) -> T:
        """Lets a story happen in the store, by its own clock, and closes it."""

        async def tell() -> T:
            self.path.mkdir(exist_ok=True)
            store = SqliteStore(self.settings.database, clock=self.clock, random=lambda: 0.5)
            await store.open()
            try:
                return await story(Scene(store, self.clock))
            finally:
                await store.close()

        return asyncio.run(tell())

    def command(self, *arguments: str) -> Said:
        """Gives a command on this folder."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--data-dir", str(self.path)])
        said = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, said.out, said.err)

    async def file(self, lease: Lease, name: str, content: bytes) -> StoredFile:
        """A finished file of an attempt, as the worker stores it."""
        files = FileStore(self.settings.files_dir)
        files.prepare()
        draft = await files.open(lease.key, lease.attempt, name, "text/plain")
        draft.write(content)
        return draft.seal()


async def fail(scene: Scene, id: str, owner: Owner = ALICE, action: str = "report") -> None:
    """A request that fails for good, a second after the one before."""
    await scene.submit(id, owner, action=action, payload=json.dumps({"of": id}))
    (claimed,) = await scene.claim(action)
    scene.clock.advance(1_000)
    await scene.fail(claimed.lease, retryable=False)


def without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine reaches the commands."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LONGCALL_{name.upper()}", raising=False)
