# SPDX-License-Identifier: Apache-2.0
"""What users suffer from, by the numbers of docs/complaints.md: over real sockets, in both fronts.

test_complaints.py has the same numbers with a server in memory and a clock that the test moves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from fronts import Connect, collect, fire_timer
from peer import Peer, Talk
from websockets.exceptions import ConnectionClosed

from longcall import (
    Chunk,
    Client,
    ClientState,
    ConflictError,
    Event,
    NotFoundError,
    Options,
    PayloadTooLargeError,
    Progress,
    QueueFull,
    RequestCancelledError,
    Status,
    WaitTimeout,
)
from longcall.testing import TestClock
from longcall.testing.messages import (
    acknowledgment,
    chunk,
    complete,
    failure,
    processing,
    progress,
    snapshot,
)

FAST = {"backoff_initial": 0.01, "backoff_maximum": 0.05, "close_timeout": 0.5}
ClientOf = Callable[..., Client]


@pytest.fixture
def client_of(peer: Peer, front: Connect) -> ClientOf:
    """Makes a client of the front end; keywords are `connect`'s, and options."""

    def make(token: Any = "secret", on_state: Any = None, **options: Any) -> Client:
        given = {} if on_state is None else {"on_state": on_state}
        return front(peer.url, token, options=Options(**{**FAST, **options}), **given)

    return make


def short(event: Event) -> str:
    match event:
        case Status(status=status):
            return status
        case Progress(version=version):
            return f"progress {version}"
        case Chunk(seq=seq):
            return f"chunk {seq}"


async def read(talk: Talk) -> None:
    """Waits until the client has read all that was sent before."""
    await talk.send({"type": "ping", "nonce": "read"})
    await talk.expect("pong", nonce="read")


@pytest.mark.complaint(2)
async def test_call_that_reports_progress_for_two_hours_is_not_ended_by_this_side(
    peer: Peer, client_of: ClientOf
) -> None:
    now = 0.0
    seen: list[int] = []
    async with client_of(clock=lambda: now) as client, asyncio.TaskGroup() as group:
        call = group.create_task(
            client.call("train", deadline=10_000, on_progress=lambda p: seen.append(p.version))
        )
        talk = await peer.welcome()
        request = await talk.expect("request", deadline_ms=10_000_000)  # the server's clock
        rid = request["id"]
        await talk.send(acknowledgment(rid), processing(rid, 2))
        for version in range(1, 241):
            now += 30
            await talk.send(progress(rid, 1, version))
            await read(talk)
            await fire_timer(client)
        await talk.send(complete(rid, 3, "trained"))
        assert await call == "trained"
    assert seen[-1] == 240
    assert seen == sorted(set(seen))
    assert peer.most_live == 1


@pytest.mark.complaint(3)
async def test_lost_connection_cancels_nothing_and_another_device_can_cancel_by_the_id(
    peer: Peer, client_of: ClientOf
) -> None:
    async with client_of() as client:
        call = asyncio.create_task(client.call("report", id="job"))
        talk = await peer.welcome()
        await talk.expect("request", id="job")
        await talk.send(acknowledgment("job"))
        await read(talk)
        talk.cut()
        again = await peer.welcome()
        await again.expect("attach", request_id="job", after_seq=1)
        async with client_of() as device:
            cancel = asyncio.create_task(device.attach("job").cancel("from the phone"))
            talk = await peer.welcome()
            asked = {it["type"]: it for it in [await talk.take(), await talk.take()]}
            assert asked["cancel"]["reason"] == "from the phone"
            await talk.send(snapshot("job"), snapshot("job", "cancel", cancel_requested=True))
            await cancel
        end = failure("CANCELLED", request_id="job", seq=2, details={"reason": "from the phone"})
        await again.send(snapshot("job", last_seq=2), end)
        with pytest.raises(RequestCancelledError) as caught:
            await call
    assert caught.value.details == {"reason": "from the phone"}


@pytest.mark.complaint(4)
async def test_connection_that_is_lost_before_the_first_event_is_resumed_all_the_same(
    peer: Peer, client_of: ClientOf
) -> None:
    async with client_of() as client, asyncio.TaskGroup() as group:
        events = group.create_task(collect(client.attach("job")))
        for _ in range(3):
            talk = await peer.welcome()
            await talk.expect("attach", request_id="job", after_seq=0)
            talk.cut()
        talk = await peer.welcome()
        await talk.expect("attach", request_id="job", after_seq=0)
        await talk.send(snapshot("job"), acknowledgment("job"), chunk("job", 2), complete("job", 3))
        assert [short(event) for event in await events] == ["queued", "chunk 2"]


@pytest.mark.complaint(5)
async def test_gap_is_noticed_and_read_again_and_what_cannot_be_had_is_told(
    peer: Peer, client_of: ClientOf
) -> None:
    async with client_of() as client, asyncio.TaskGroup() as group:
        events = group.create_task(collect(client.attach("job")))
        talk = await peer.welcome()
        await talk.expect("attach", after_seq=0)
        await talk.send(snapshot("job", last_seq=4), acknowledgment("job"), chunk("job", 4))
        await talk.expect("attach", request_id="job", after_seq=1)  # 2 and 3 are missing
        await talk.send(snapshot("job", last_seq=4), *(chunk("job", seq) for seq in (2, 3, 4)))
        await talk.send(complete("job", 5))
        assert [short(e) for e in await events] == ["queued", "chunk 2", "chunk 3", "chunk 4"]
        expired = asyncio.create_task(collect(client.attach("old")))
        await talk.expect("attach", request_id="old")
        await talk.send(failure("NOT_FOUND", request_id="old", reply_to="attach"))
        with pytest.raises(NotFoundError):
            await expired


@pytest.mark.complaint(6)
async def test_what_is_recovered_does_not_come_twice_and_nothing_comes_after_the_end(
    peer: Peer, client_of: ClientOf
) -> None:
    async with client_of() as client, asyncio.TaskGroup() as group:
        events = group.create_task(collect(client.attach("job")))
        talk = await peer.welcome()
        await talk.expect("attach")
        await talk.send(snapshot("job"), acknowledgment("job"), chunk("job", 2), chunk("job", 2))
        await read(talk)
        talk.cut()
        talk = await peer.welcome()
        await talk.expect("attach", after_seq=2)
        again = [acknowledgment("job"), *(chunk("job", seq) for seq in (2, 3))]
        await talk.send(snapshot("job", last_seq=3), *again, complete("job", 4, "end"))
        await talk.send(chunk("job", 5), complete("job", 5, "another end"))
        assert [short(event) for event in await events] == ["queued", "chunk 2", "chunk 3"]
        await read(talk)


@pytest.mark.complaint(7)
async def test_who_tries_again_after_a_timeout_does_not_run_the_work_twice(
    peer: Peer, client_of: ClientOf, clock: TestClock
) -> None:
    states: asyncio.Queue[str] = asyncio.Queue()
    async with client_of(on_state=lambda state: states.put_nowait(state.name)) as client:
        pay = {"amount": 7}
        first = asyncio.create_task(client.call("pay", pay, id="order-7", timeout=5))
        talk = await peer.welcome()
        request = await talk.expect("request", id="order-7")
        assert "resend" not in request
        await clock.advance(5)
        with pytest.raises(WaitTimeout) as caught:
            await first
        assert caught.value.sent
        with pytest.raises(ConflictError):  # the id stands for this payment, and for no other
            await client.call("pay", {"amount": 8}, id="order-7")
        second = asyncio.create_task(client.call("pay", pay, id="order-7"))
        talk.cut()
        while await states.get() != "reconnecting":
            pass
        await clock.advance(1)
        talk = await peer.welcome()
        await talk.expect("request", id="order-7", resend=True)
        await talk.send(acknowledgment("order-7", duplicate=True), complete("order-7", 2, "paid"))
        assert await second == "paid"


@pytest.mark.complaint(10)
async def test_result_is_there_although_the_message_with_it_was_lost(
    peer: Peer, client_of: ClientOf
) -> None:
    async with client_of() as client, asyncio.TaskGroup() as group:
        result = group.create_task(client.attach("job").result())
        talk = await peer.welcome()
        await talk.expect("attach", after_seq=0)
        await talk.send(snapshot("job"), acknowledgment("job"))
        await read(talk)
        talk.cut()  # and with it the push
        talk = await peer.welcome()
        await talk.expect("attach", after_seq=1)
        await talk.send(snapshot("job", status="completed", last_seq=2), complete("job", 2, "it"))
        assert await result == "it"
        late = group.create_task(client.attach("long-ago").result())
        await talk.expect("attach", request_id="long-ago")
        await talk.send(snapshot("long-ago", status="completed", last_seq=2))
        await talk.send(acknowledgment("long-ago"), complete("long-ago", 2, "it as well"))
        assert await late == "it as well"


@pytest.mark.complaint(11)
async def test_who_comes_back_is_shown_where_it_stands_then_what_follows(
    peer: Peer, client_of: ClientOf
) -> None:
    async with client_of() as client, asyncio.TaskGroup() as group:
        events = group.create_task(collect(client.attach("job")))
        talk = await peer.welcome()
        await talk.expect("attach")
        await talk.send(snapshot("job"), acknowledgment("job"), processing("job", 2))
        await read(talk)
        talk.cut()  # 9 progress messages went to nobody
        talk = await peer.welcome()
        await talk.expect("attach", after_seq=2)
        newest = {key: it for key, it in progress("job", 1, 9).items() if key != "type"}
        newest.pop("request_id")
        await talk.send(snapshot("job", last_seq=2, progress=newest), progress("job", 1, 8))
        await talk.send(chunk("job", 3), complete("job", 4))
        told = [short(event) for event in await events]
        assert told == ["queued", "processing", "progress 9", "chunk 3"]


@pytest.mark.complaint(12)
@pytest.mark.parametrize("code", [1000, 1001, 1012, None])
async def test_end_of_a_connection_and_a_snapshot_are_not_the_end_of_the_work(
    peer: Peer, client_of: ClientOf, code: int | None
) -> None:
    async with client_of() as client, asyncio.TaskGroup() as group:
        events = group.create_task(collect(client.attach("job")))
        talk = await peer.welcome()
        await talk.expect("attach")
        await talk.send(snapshot("job", status="completed", last_seq=3), acknowledgment("job"))
        await read(talk)
        if code is None:
            talk.cut()
        else:
            await talk.close(code)
        talk = await peer.welcome()
        await talk.expect("attach", after_seq=1)
        await talk.send(snapshot("job", status="completed", last_seq=3), chunk("job", 2))
        await read(talk)
        assert not events.done()
        await talk.send(complete("job", 3))
        assert [short(event) for event in await events] == ["queued", "chunk 2"]


@pytest.mark.complaint(13)
async def test_token_is_renewed_on_the_open_connection_in_time_and_for_a_reason(
    peer: Peer, client_of: ClientOf
) -> None:
    now = 0.0
    reasons: list[str] = []

    def token(reason: str) -> str:
        reasons.append(reason)
        return f"token {len(reasons)}"

    times = {"server_time": "2026-11-23T18:40:00.000Z", "expires_at": "2026-11-23T18:41:40.000Z"}
    async with client_of(token, clock=lambda: now) as client, asyncio.TaskGroup() as group:
        call = group.create_task(client.call("report"))
        talk = await peer.welcome(**times)
        rid = (await talk.expect("request"))["id"]
        await talk.send(acknowledgment(rid))
        for number in (2, 3):
            now += 81
            await read(talk)
            await fire_timer(client)
            await fire_timer(client)  # a second time is not a second question
            await talk.expect("refresh", token=f"token {number}")
            await talk.send({"type": "refreshed", **times})
            await read(talk)
        await talk.send(complete(rid, 2, "end"))
        assert await call == "end"
    assert reasons == ["connect", "refresh", "refresh"]
    assert peer.most_live == 1


@pytest.mark.complaint(14)
async def test_running_call_is_cancelled_with_a_reason_and_the_handle_is_told(
    peer: Peer, client_of: ClientOf
) -> None:
    async with client_of() as client, asyncio.TaskGroup() as group:
        submit = group.create_task(client.submit("report", id="job"))
        talk = await peer.welcome()
        await talk.expect("request")
        await talk.send(acknowledgment("job"), processing("job", 2))
        handle = await submit
        cancel = group.create_task(handle.cancel("too dear"))
        await talk.expect("cancel", request_id="job", reason="too dear")
        assert not cancel.done()
        await talk.send(snapshot("job", "cancel", cancel_requested=True))
        await cancel
        end = failure("CANCELLED", request_id="job", seq=3, details={"reason": "too dear"})
        await talk.send(end)
        with pytest.raises(RequestCancelledError) as caught:
            await handle.result()
        assert caught.value.details == {"reason": "too dear"}
        await handle.cancel("again")  # what has ended is not asked for


@pytest.mark.complaint(15)
async def test_slow_call_holds_up_no_other_and_the_limit_is_kept_here(
    peer: Peer, client_of: ClientOf
) -> None:
    async with client_of() as client, asyncio.TaskGroup() as group:
        slow = group.create_task(client.call("slow"))
        talk = await peer.welcome(limits={"max_in_flight": 3})
        rid = (await talk.expect("request", action="slow"))["id"]
        await talk.send(acknowledgment(rid))
        others = [group.create_task(client.call("quick", number)) for number in range(20)]
        unanswered: list[dict[str, Any]] = []
        for _ in others:
            unanswered.append(await talk.expect("request", action="quick"))
            if len(unanswered) == 2:  # with the slow one that is all that is let in
                await read(talk)  # and nothing more has come
                for request in unanswered:
                    answer = {"request_id": request["id"], "result": request["payload"]}
                    await talk.send({"type": "response", **answer})
                unanswered.clear()
        assert [await other for other in others] == list(range(20))
        assert not slow.done()
        await talk.send(complete(rid, 2, "slow"))
        assert await slow == "slow"


@pytest.mark.complaint(16)
async def test_connection_that_is_dead_and_open_is_noticed_left_and_replaced(
    peer: Peer, client_of: ClientOf
) -> None:
    now = 0.0
    states: asyncio.Queue[ClientState] = asyncio.Queue()
    waits = {"backoff_initial": 0.000_001, "backoff_maximum": 0.000_001}
    client = client_of(on_state=states.put_nowait, clock=lambda: now, **waits)
    async with client, asyncio.TaskGroup() as group:
        result = group.create_task(client.attach("job").result())
        talk = await peer.welcome()
        await talk.expect("attach")
        await talk.send(snapshot("job"), acknowledgment("job"))
        await read(talk)
        now = 36.0  # and not a word, though the socket is open
        await fire_timer(client)
        while (state := await states.get()).name != "reconnecting":
            pass
        assert state.code == 4408
        now = 37.0
        await fire_timer(client)
        talk = await peer.welcome()
        await talk.expect("attach", request_id="job", after_seq=1)
        await talk.send(snapshot("job"), complete("job", 2, "alive"))
        assert await result == "alive"


@pytest.mark.complaint(18)
async def test_clients_that_lost_their_server_come_back_spread_from_the_first_try_on(
    peer: Peer, client_of: ClientOf
) -> None:
    lots = [0.0, 0.25, 0.5, 1.0]
    waits: list[float | None] = []

    def note(state: ClientState) -> None:
        if state.name == "reconnecting":
            waits.append(state.retry_in)

    clients = [client_of(on_state=note, random=lambda lot=lot: lot) for lot in lots]
    for client in clients:
        async with client:
            talk = await peer.welcome()
            await talk.close(1012)
            await peer.welcome()
    assert waits == pytest.approx([0.01 * lot for lot in lots])


@pytest.mark.complaint(18)
async def test_server_that_says_goodbye_says_to_each_when_to_come_back(
    peer: Peer, client_of: ClientOf
) -> None:
    now = 0.0
    states: asyncio.Queue[str] = asyncio.Queue()
    client = client_of(clock=lambda: now, on_state=lambda state: states.put_nowait(state.name))
    async with client, asyncio.TaskGroup() as group:
        old = await peer.welcome()
        call = group.create_task(client.call("report"))
        rid = (await old.expect("request"))["id"]
        goaway = {"type": "goaway", "reason": "deploy", "reconnect_after_ms": 20_000}
        await old.send(acknowledgment(rid), goaway)
        while await states.get() != "draining":
            pass
        now = 19.9
        await fire_timer(client)
        assert peer.live == 1
        now = 20.0
        await fire_timer(client)
        new = await peer.welcome()
        await new.expect("attach", request_id=rid, after_seq=1)
        await new.send(snapshot(rid), complete(rid, 2, "moved"))
        assert await call == "moved"


@pytest.mark.complaint(20)
async def test_what_is_made_offline_waits_in_a_bounded_queue_in_order_each_as_long_as_it_wants(
    peer: Peer, client_of: ClientOf
) -> None:
    async with client_of(max_queue_bytes=1_000) as client, asyncio.TaskGroup() as group:
        talk = await peer.accept()  # and no welcome yet
        await talk.expect("hello")
        with pytest.raises(WaitTimeout) as caught:
            await client.call("impatient", timeout=0.05)
        assert not caught.value.sent

        async def mapped() -> list[Any]:
            # It takes its payloads one after the other, as there is room.
            return [item.result async for item in client.map("step", range(10))]

        steps = group.create_task(mapped())
        with pytest.raises(QueueFull):
            await client.call("more", "x" * 1_000)
        await talk.close(1012)
        talk = await peer.welcome()
        for number in range(10):
            request = await talk.expect("request", action="step", payload=number)
            answer = {"request_id": request["id"], "result": number}
            await talk.send({"type": "response", **answer})
        assert await steps == list(range(10))


@pytest.mark.complaint(21)
async def test_of_progress_the_newest_counts_of_chunks_each_in_order(
    peer: Peer, client_of: ClientOf
) -> None:
    async with client_of() as client:
        handle = client.attach("job")
        talk = await peer.welcome()
        await talk.expect("attach")
        events = aiter(handle)
        first = asyncio.ensure_future(anext(events))
        await talk.send(snapshot("job", last_seq=5), acknowledgment("job"))
        told = [short(await first)]
        await talk.send(processing("job", 2), chunk("job", 3))
        await talk.send(*(progress("job", 1, version) for version in range(1, 100)))
        await talk.send(chunk("job", 4), chunk("job", 5), complete("job", 6))
        await read(talk)  # the application takes nothing meanwhile
        told += [short(event) async for event in events]
    assert told == ["queued", "processing", "chunk 3", "progress 99", "chunk 4", "chunk 5"]


@pytest.mark.complaint(23)
async def test_what_is_too_large_is_refused_before_it_is_sent_with_the_limit(
    peer: Peer, client_of: ClientOf
) -> None:
    async with client_of() as client, asyncio.TaskGroup() as group:
        early = asyncio.create_task(client.call("store", "x" * 2_000))  # before the limit is known
        talk = await peer.welcome(limits={"max_message_bytes": 1_000})
        with pytest.raises(PayloadTooLargeError) as caught:
            await early
        with pytest.raises(PayloadTooLargeError):
            await client.call("store", "x" * 2_000)
        assert caught.value.origin == "client"
        assert isinstance(caught.value.details, dict)
        assert caught.value.details["limit"] == 1_000
        small = group.create_task(client.call("store", "x"))
        request = await talk.expect("request", payload="x")  # nothing else was sent
        await talk.send({"type": "response", "request_id": request["id"], "result": True})
        assert await small is True


@pytest.mark.complaint(24)
async def test_trace_context_goes_with_each_request(peer: Peer, client_of: ClientOf) -> None:
    traces = [f"00-{str(digit) * 32}-{'a' * 16}-01" for digit in (1, 2)]
    async with client_of() as client, asyncio.TaskGroup() as group:
        talk = await peer.welcome()
        for trace in traces:
            call = group.create_task(client.call("report", traceparent=trace))
            request = await talk.expect("request", traceparent=trace)
            await talk.send({"type": "response", "request_id": request["id"], "result": 1})
            assert await call == 1


@pytest.mark.complaint(26)
@pytest.mark.slow
@pytest.mark.timeout(900)  # ten seconds where nothing else runs
async def test_fifty_thousand_tokens_come_each_once_through_losses_and_a_restart_of_the_program(
    peer: Peer, client_of: ClientOf
) -> None:
    total, random = 50_000, Random(26)

    async def serve() -> None:
        """The log, from where the client asks for it; every connection is lost somewhere."""
        while True:
            talk = await peer.welcome()
            with suppress(ConnectionClosed):
                while await serve_from(talk, await asked(talk)):
                    pass
                talk.cut()

    async def asked(talk: Talk) -> int:
        """After which event it wants to read; a slow reader pauses in between by `detach`."""
        while True:
            message = json.loads(await talk.socket.recv())
            if message["type"] == "attach":
                return int(message["after_seq"])

    async def serve_from(talk: Talk, position: int) -> bool:
        """Sends the log; False: up to where this connection is to be lost."""
        ends = position + random.randrange(2_000, 20_000)
        await talk.send(snapshot("chat", last_seq=total + 2))
        for seq in range(position + 1, min(ends, total + 1) + 1):
            await talk.send(acknowledgment("chat") if seq == 1 else chunk("chat", seq))
        if ends > total:
            await talk.send(complete("chat", total + 2, "said"))
            return True
        await talk.send({"type": "ping"})
        while json.loads(await talk.socket.recv())["type"] != "pong":
            pass  # all of it is there, or was left to be read again
        return False

    serving = asyncio.create_task(serve())
    try:
        for _ in range(2):  # the second is the program that was started again
            async with client_of() as client:
                handle = client.attach("chat")
                events = await collect(handle)
                assert [getattr(event, "seq", 0) for event in events] == [*range(1, total + 2)]
                assert await handle.result() == "said"
    finally:
        serving.cancel()
        await asyncio.wait([serving])
    assert peer.most_live == 1
