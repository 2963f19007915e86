# SPDX-License-Identifier: Apache-2.0
"""Where handlers under test write, without a store."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from longcall_server.executor import Failed, Outcome
from longcall_server.files import FileStore
from longcall_server.handlers import FileDraft
from longcall_server.stores.base import Owner, RequestKey, StoredProgress

LIMIT = 4096


class Writer:
    """Keeps what was written."""

    def __init__(self, files: FileStore | None = None) -> None:
        self.files = files
        self.reports: list[dict[str, Any]] = []
        self.chunks: list[tuple[str, str | None]] = []
        self.checkpoints: list[str] = []
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self.refusal: Exception | None = None
        """What every write raises."""

    def progress(self, progress: StoredProgress) -> None:
        self.reports.append(json.loads(progress.body))

    async def chunk(self, data: str, checkpoint: str | None) -> int:
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        self._refuse()
        self.chunks.append((data, checkpoint))
        return 2 + len(self.chunks)

    async def save_checkpoint(self, checkpoint: str) -> None:
        self._refuse()
        self.checkpoints.append(checkpoint)

    async def open_file(self, name: str, media_type: str) -> FileDraft:
        assert self.files is not None
        key = RequestKey(Owner("t", "s"), "r-1")
        return await self.files.open(key, 1, name, media_type)

    def _refuse(self) -> None:
        if self.refusal is not None:
            raise self.refusal


def failure(outcome: Outcome) -> dict[str, Any]:
    assert isinstance(outcome, Failed)
    info: dict[str, Any] = json.loads(outcome.error)
    return info
