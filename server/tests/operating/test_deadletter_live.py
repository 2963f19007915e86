# SPDX-License-Identifier: Apache-2.0
"""Dead letters of a server that runs: the operator works on its data folder beside it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from operator_harness import without_environment
from wire import PATIENCE, connected, settings
from worker_harness import Follower

from longcall_server import HandlerError, Handlers, JsonValue, RequestContext
from longcall_server.__main__ import main
from longcall_server.engines import open_engines
from longcall_server.server import Server
from longcall_server.stores.suite import ManualClock, Scene

handlers = Handlers()
broken = True


@handlers.register("deliver")
async def deliver(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    if broken:
        raise HandlerError("down", "The other side is down.", retryable=False)
    return payload


@pytest.mark.clause("5.4.13", "10.20.1", "10.31.2")
async def test_a_requeued_request_runs_on_the_server_and_a_purged_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_environment(monkeypatch)
    given = settings(store="sqlite", data_dir=tmp_path / "data", poll="200ms")

    async def command(*arguments: str) -> list[dict[str, Any]]:
        def give() -> None:
            with pytest.raises(SystemExit) as ended:
                main(["deadletter", *arguments, "--json", "--data-dir", str(given.data_dir)])
            assert ended.value.code == 0

        await asyncio.to_thread(give)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    async with Server(given, handlers) as server, connected(server.url) as wire:
        monkeypatch.setitem(globals(), "broken", True)
        await wire.send("request", id="a", action="deliver", payload={"order": 17})
        assert (await wire.ended())[-1]["error"]["details"] == {"code": "down"}
        (letter,) = await command("list")
        assert (letter["id"], letter["error"]["code"]) == ("a", "HANDLER_ERROR")

        monkeypatch.setitem(globals(), "broken", False)
        (requeued,) = await command("requeue", "--all", "--action", "deliver")
        new_id = requeued["requeued_as"]
        await wire.send("attach", request_id=new_id, after_seq=0)
        received = await wire.ended()
        assert received[-1]["result"] == {"order": 17}
        (snapshot,) = [message for message in received if message["type"] == "snapshot"]
        assert snapshot["request"]["requeued_from"] == "a"

        assert await command("purge", "a", "--yes") == [
            {"tenant": "acme", "sub": "alice", "id": "a", "purged": True}
        ]
        await wire.send("request", id="a", action="deliver", payload={"order": 17})
        refusal = (await wire.until_type("error"))[-1]["error"]
        assert (refusal["code"], refusal["details"]) == ("CONFLICT", {"reason": "expired"})


async def test_the_processes_of_the_folder_hear_of_what_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_environment(monkeypatch)
    given = settings(store="sqlite", data_dir=tmp_path / "data")
    work, changed = asyncio.Event(), Follower()
    async with open_engines(given) as engines:
        scene = Scene(engines.store, ManualClock())
        lease = await scene.running("a")
        await scene.fail(lease, retryable=False)
        engines.bus.watch_work(work.set)
        engines.bus.watch_request(lease.key, changed)
        for verb, heard in (("requeue", work), ("purge", changed.changed)):
            assert not heard.is_set()
            options = ["deadletter", verb, "a", "--data-dir", str(given.data_dir)]
            with pytest.raises(SystemExit) as ended:
                await asyncio.to_thread(main, options + ["--yes"] * (verb == "purge"))
            assert ended.value.code == 0
            await asyncio.wait_for(heard.wait(), PATIENCE)
