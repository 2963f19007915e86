# SPDX-License-Identifier: Apache-2.0
"""A server without a worker and a worker without clients, in this process, on one data folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from integration_app import handlers
from wire import connected, settings, types

from longcall_server.bus.doorbell import DoorbellBus
from longcall_server.config import SettingsError
from longcall_server.node import WorkerNode
from longcall_server.server import Server


@pytest.mark.clause("6.2.2", "10.34.2")
async def test_with_a_bell_that_nobody_hears_the_poll_does_it_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DoorbellBus, "_ring", lambda self, ring, **how: None)
    given = settings(store="sqlite", data_dir=tmp_path, poll="50ms", lease="150ms")
    async with (
        Server(given, handlers, claims=False) as server,
        WorkerNode(given, handlers),
        connected(server.url) as wire,
    ):
        await wire.send("request", id="a", action="rows", payload=3)
        messages = await wire.ended()
        assert types(messages)[2:] == ["chunk", "chunk", "chunk", "complete"]
        assert messages[-2]["percentage"] == 100
        await wire.send("request", id="b", action="half", payload="details")
        progress = (await wire.until_type("progress"))[-1]
        assert progress["details"] == "details"
        await wire.send("cancel", request_id="b")
        assert (await wire.ended())[-1]["error"]["code"] == "CANCELLED"


async def test_a_server_alone_adopts_what_was_quick_and_leaves_the_rest(tmp_path: Path) -> None:
    given = settings(store="sqlite", data_dir=tmp_path)
    async with Server(given, handlers, claims=False) as server, connected(server.url) as wire:
        await wire.send("request", id="durable", action="durable_echo", payload=1)
        await wire.until_type("acknowledgment")
        await wire.send("request", id="quick", action="slow_quick")
        assert (await wire.ended())[-1]["request_id"] == "quick"
        await wire.send("attach", request_id="durable", after_seq=1)
        assert (await wire.until_type("snapshot"))[-1]["request"]["status"] == "queued"


async def test_requests_in_memory_are_no_others() -> None:
    with pytest.raises(SettingsError, match="use --store sqlite"):
        WorkerNode(settings(store="memory"), handlers)
    with pytest.raises(SettingsError, match="use --store sqlite"):
        Server(settings(store="memory"), handlers, claims=False)
