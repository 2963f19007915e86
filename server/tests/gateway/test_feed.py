# SPDX-License-Identifier: Apache-2.0
"""What a connection follows: nothing falls between the reads, and progress keeps its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gateway_harness import Harness, gateway
from gateway_stage import Stage, is_terminal

from longcall_server import Handlers, RequestContext
from longcall_server.gateway.app import GatewaySettings


@pytest.mark.clause("6.2.1")
async def test_what_happens_right_behind_the_read_of_an_attach_is_not_missed(
    handlers: Handlers, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = GatewaySettings(poll_ms=3_600_000)
    async with gateway(handlers, tmp_path, settings=settings) as at:
        await at.desk.submit("wait")
        await stage.started.wait()
        read = at.desk.store._inner.read

        async def read_and_end_it(*args: Any, **options: Any) -> Any:
            found = await read(*args, **options)
            if not stage.go_on.is_set():
                stage.go_on.set()
                await at.desk.node.finished(at.desk.key())
            return found

        monkeypatch.setattr(at.desk.store._inner, "read", read_and_end_it)
        peer = await at.welcomed()
        await peer.attach(0)
        seen = await peer.until(is_terminal)
        assert seen[0]["request"]["last_seq"] == 2, "the snapshot was read before the end"
        assert [message.get("seq") for message in seen] == [None, 1, 2, 3]


@pytest.mark.clause("10.10.3", "10.10.4")
async def test_progress_from_before_the_promotion_waits_for_it_and_the_newest_is_kept(
    handlers: Handlers, stage: Stage, at: Harness
) -> None:
    @handlers.register("early", durable=False)
    async def early(ctx: RequestContext) -> None:
        for percentage in (1.0, 2.0, 3.0):
            await ctx.progress(percentage)
        await stage.enter(ctx)
        await stage.go_on.wait()
        await ctx.chunk("this promotes it")

    peer = await at.welcomed()
    await peer.request("early")
    await stage.started.wait()
    assert await peer.ask({"type": "ping"}) == {"type": "pong"}
    stage.go_on.set()
    seen = await peer.until(is_terminal)
    assert seen[0]["type"] == "acknowledgment"
    progress = [message["percentage"] for message in seen if message["type"] == "progress"]
    assert progress == [3.0]


@pytest.mark.clause("4.5.5")
async def test_a_log_that_was_sent_to_its_end_is_watched_no_more(at: Harness) -> None:
    peer = await at.welcomed()
    watched = at.desk.node.bus._followers
    for follow in (True, False):
        await peer.request("count", 2, id=f"r-{follow}")
        await peer.until(is_terminal)
        await peer.attach(0, f"r-{follow}", follow=follow)
        await peer.until(is_terminal)
        await peer.pinged()
        assert watched == {}


@pytest.mark.clause("4.5.1", "10.2.3")
async def test_each_attach_and_cancel_has_its_snapshot_in_the_order_of_asking(at: Harness) -> None:
    peer = await at.welcomed()
    await peer.request("count", 1)
    await peer.until(is_terminal)
    asked = ["attach", "cancel", "cancel", "attach", "cancel"]
    for kind in asked:
        place = {"after_seq": 4} if kind == "attach" else {}
        await peer.send({"type": kind, "request_id": "r1", **place})
    seen = [await peer.receive() for _ in asked]
    assert [message.get("reply_to") for message in seen] == asked
    assert {message["type"] for message in seen} == {"snapshot"}
    assert await peer.ask({"type": "ping"}) == {"type": "pong"}


@pytest.mark.clause("10.25.1", "10.25.2")
async def test_another_attach_moves_the_one_cursor_and_says_whether_it_follows(
    at: Harness, stage: Stage
) -> None:
    await at.desk.submit("wait")
    await stage.started.wait()
    peer, other = await at.welcomed(), await at.welcomed()
    for _ in range(2):
        await peer.attach(0)
        assert [(await peer.receive()).get("seq") for _ in range(3)] == [None, 1, 2]
    await peer.attach(1, follow=False)
    assert [(await peer.receive()).get("seq") for _ in range(2)] == [None, 2]
    await other.attach(2)
    stage.go_on.set()
    await other.until(is_terminal)
    assert await peer.ask({"type": "ping"}) == {"type": "pong"}
