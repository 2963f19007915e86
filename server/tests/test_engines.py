# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from longcall_server.bus.suite import KEY, Follower, Heard
from longcall_server.config import load_settings
from longcall_server.engines import open_engines
from longcall_server.stores.base import StoreUnavailable
from longcall_server.stores.suite.support import new_request


async def test_requests_in_memory_leave_nothing_behind() -> None:
    async with open_engines(load_settings(store="memory")) as engines:
        assert engines.store.name == "memory"
        assert engines.files_dir.parent.is_dir()
    assert not engines.files_dir.parent.exists()


async def test_processes_of_one_data_folder_share_requests_and_ring_each_other(
    tmp_path: Path,
) -> None:
    settings = load_settings(data_dir=tmp_path / "new" / "data")
    async with open_engines(settings) as here:
        follower, work = Follower(), Heard[str]()
        here.bus.watch_request(KEY, follower)
        here.bus.watch_work(lambda: work.add("work"))
        async with open_engines(settings, listens=False) as command:
            await command.store.submit(new_request("a"), max_in_flight=1)
            command.bus.work_available()
            command.bus.request_changed(KEY)
        await work.until("work")
        await follower.heard.until("changed")
        assert await here.store.get(new_request("a").key) is not None
    assert (tmp_path / "new" / "data").stat().st_mode & 0o777 == 0o700


async def test_an_unreadable_store_is_said(tmp_path: Path) -> None:
    (tmp_path / "longcall.sqlite3").write_text("dear diary, " * 1_000)
    with pytest.raises(StoreUnavailable, match=r"longcall\.sqlite3 cannot be opened"):
        async with open_engines(load_settings(data_dir=tmp_path)):
            pass


async def test_a_data_folder_that_others_may_ring_in_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bell").mkdir()
    (tmp_path / "bell").chmod(0o755)
    with pytest.raises(PermissionError, match="its mode must be 0700"):
        async with open_engines(load_settings(data_dir=tmp_path)):
            pass
