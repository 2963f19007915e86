# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from longcall_server.stores.base import Clock, Random, Store, StoreLimits
from longcall_server.stores.sqlite import SqliteStore
from longcall_server.stores.suite import StoreSuite


class TestSqliteStore(StoreSuite):
    folder: Path
    numbers = itertools.count()

    @pytest.fixture(autouse=True)
    def _in_a_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_store(self, *, limits: StoreLimits, clock: Clock, random: Random) -> Store:
        path = self.folder / f"{next(self.numbers)}.db"
        return SqliteStore(path, limits=limits, clock=clock, random=random)
