# SPDX-License-Identifier: Apache-2.0
"""Both front ends over real sockets; what the protocol decides is in test_requests.py."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest
from fronts import Connect, fire_timer
from peer import PATIENCE, Peer, Talk

from longcall import (
    Chunk,
    Client,
    ClientState,
    ConfigurationError,
    ConnectionClosed,
    Detached,
    Event,
    HandlerError,
    NotFoundError,
    Options,
    Progress,
    QueueFull,
    ReaderLimits,
    RequestHandle,
    Status,
    UnauthorizedError,
    UnknownActionError,
    ValidationError,
    WaitTimeout,
    connect,
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
    summary,
    welcome,
)

FAST = Options(backoff_initial=0.01, backoff_maximum=0.05, close_timeout=0.5)


@pytest.fixture
def peer(peer: Peer, front: Connect) -> Peer:
    """The scripted server, with the front end that this test is about."""
    peer.connect = front
    return peer


def client_of(peer: Peer, **arguments: Any) -> Client:
    arguments.setdefault("token", "secret")
    arguments.setdefault("options", FAST)
    return peer.connect(peer.url, **arguments)


async def taken(talk: Talk, **fields: Any) -> str:
    """Takes the next `request` and returns its id."""
    request = await talk.expect("request", **fields)
    return str(request["id"])


async def collect(handle: RequestHandle) -> list[Event]:
    return [event async for event in handle]


def numbers(events: list[Event]) -> list[int]:
    return [event.seq for event in events if not isinstance(event, Progress)]


# call


@pytest.mark.clause("9.1.1")
async def test_call_returns_a_quick_result(peer: Peer) -> None:
    async with client_of(peer) as client, asyncio.TaskGroup() as group:
        call = group.create_task(client.call("echo", {"a": [1, None]}, metadata={"k": "v"}))
        talk = await peer.welcome()
        request = await talk.expect("request", action="echo", payload={"a": [1, None]})
        assert request["metadata"] == {"k": "v"}
        assert len(request["id"]) == 36
        await talk.send({"type": "response", "request_id": request["id"], "result": {"a": 1}})
        assert await call == {"a": 1}


@pytest.mark.clause("9.1.1", "9.9.1")
async def test_call_tells_progress_chunks_and_status_and_survives_what_they_raise(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    async def on_chunk(event: Chunk) -> None:
        await asyncio.sleep(0)
        seen.append(event.data)

    def on_progress(event: Progress) -> None:
        seen.append(event.percentage)
        raise RuntimeError("a bug of the application")

    async with client_of(peer) as client, asyncio.TaskGroup() as group:
        call = group.create_task(
            client.call(
                "report",
                on_progress=on_progress,
                on_chunk=on_chunk,
                on_status=lambda event: seen.append(event.status),
            )
        )
        talk = await peer.welcome()
        rid = await taken(talk)
        await talk.send(acknowledgment(rid), processing(rid, 2), progress(rid, 1, 1, percentage=5))
        await talk.send(chunk(rid, 3, "a"), chunk(rid, 4, "b"), complete(rid, 5, "end"))
        assert await call == "end"
    assert seen == ["queued", "processing", 5, "a", "b"]
    assert "a bug of the application" in caplog.text


@pytest.mark.clause("9.2.7", "9.8.2")
async def test_call_raises_the_typed_error_with_the_handlers_code(peer: Peer) -> None:
    async with client_of(peer) as client:
        call = asyncio.create_task(client.call("report"))
        talk = await peer.welcome()
        rid = await taken(talk)
        await talk.send(acknowledgment(rid), processing(rid, 2))
        details = {"code": "NO_ROWS", "details": [1]}
        await talk.send(failure("HANDLER_ERROR", request_id=rid, seq=3, details=details))
        with pytest.raises(HandlerError) as caught:
            await call
    assert caught.value.details == details
    assert (caught.value.attempt, caught.value.request_id) == (1, rid)


@pytest.mark.clause("9.3.1", "9.3.2")
async def test_timeout_of_a_call_only_detaches(peer: Peer, clock: TestClock) -> None:
    told = asyncio.Event()

    async def on_status(event: Status) -> None:
        told.set()

    async with client_of(peer) as client:
        call = asyncio.create_task(
            client.call("report", timeout=5, deadline=60, on_status=on_status)
        )
        talk = await peer.welcome()
        request = await talk.expect("request", deadline_ms=60_000)
        rid = request["id"]
        await talk.send(acknowledgment(rid))
        await told.wait()
        await clock.advance(4.9)
        assert not call.done()
        await clock.advance(0.1)
        with pytest.raises(WaitTimeout) as caught:
            await call
        assert isinstance(caught.value, TimeoutError)
        assert (caught.value.request_id, caught.value.sent) == (rid, True)
        assert caught.value.acknowledged
        await talk.expect("detach", request_id=rid)
        handle = client.attach(rid)
        result = asyncio.create_task(handle.result())
        await talk.expect("attach", request_id=rid, after_seq=1)
        await talk.send(snapshot(rid, last_seq=2), complete(rid, 2, "late"))
        assert await result == "late"


@pytest.mark.clause("9.5.5")
async def test_call_that_times_out_offline_is_never_sent(peer: Peer) -> None:
    async with client_of(peer) as client:
        talk = await peer.accept()  # and no welcome
        with pytest.raises(WaitTimeout) as caught:
            await client.call("report", timeout=0.05)
        assert not caught.value.sent
        await talk.expect("hello")
        await talk.send(welcome())
        async with asyncio.TaskGroup() as group:
            call = group.create_task(client.call("other"))
            rid = await taken(talk, action="other")
            await talk.send({"type": "response", "request_id": rid, "result": 1})
            assert await call == 1


# submit, attach, handles


@pytest.mark.clause("9.1.2", "9.2.2")
async def test_submit_returns_after_the_acknowledgment(peer: Peer) -> None:
    async with client_of(peer) as client, asyncio.TaskGroup() as group:
        submit = group.create_task(client.submit("report", id="job-1", priority=9, delay=1.5))
        talk = await peer.welcome()
        await talk.expect("request", id="job-1", priority=9, delay_ms=1500)
        assert not submit.done()
        await talk.send(acknowledgment("job-1"), processing("job-1", 2))
        handle = await submit
        assert handle.id == "job-1"
        assert not handle.is_finished
        await talk.send(chunk("job-1", 3), complete("job-1", 4, [1]))
        events = await collect(handle)
        assert events[0] == Status(seq=1, status="queued")
        assert numbers(events) == [1, 2, 3]
        assert await handle.result() == [1]
        assert handle.is_finished


@pytest.mark.clause("9.1.3")
async def test_submit_of_a_quick_action_gives_a_finished_handle(peer: Peer) -> None:
    async with client_of(peer) as client, asyncio.TaskGroup() as group:
        submit = group.create_task(client.submit("echo"))
        talk = await peer.welcome()
        rid = await taken(talk)
        await talk.send({"type": "response", "request_id": rid, "result": None})
        handle = await submit
        assert handle.is_finished
        assert await collect(handle) == []
        assert await handle.result() is None
        await handle.cancel()
        with pytest.raises(NotFoundError):
            await handle.snapshot()


@pytest.mark.clause("9.1.3", "9.2.7", "10.9.4")
async def test_submit_of_a_quick_action_that_failed_raises_from_result_only(peer: Peer) -> None:
    async with client_of(peer) as client, asyncio.TaskGroup() as group:
        submit = group.create_task(client.submit("echo"))
        talk = await peer.welcome()
        rid = await taken(talk)
        await talk.send(failure("HANDLER_ERROR", request_id=rid, reply_to="request", executed=True))
        handle = await submit
        assert await collect(handle) == []
        for _ in range(2):
            with pytest.raises(HandlerError) as caught:
                await handle.result()
            assert caught.value.executed


@pytest.mark.clause("9.1.5")
async def test_refused_submit_raises(peer: Peer) -> None:
    async with client_of(peer) as client:
        submit = asyncio.create_task(client.submit("nothing"))
        talk = await peer.welcome()
        rid = await taken(talk)
        await talk.send(failure("UNKNOWN_ACTION", request_id=rid, reply_to="request"))
        with pytest.raises(UnknownActionError):
            await submit
        with pytest.raises(ValidationError):
            await client.submit("no spaces please")
        with pytest.raises(ValidationError):
            await client.submit("x", deadline=float("inf"))


@pytest.mark.clause("9.2.3", "9.4.7", "9.5.2")
async def test_events_survive_lost_connections_each_once_and_in_order(peer: Peer) -> None:
    async with client_of(peer) as client, asyncio.TaskGroup() as group:
        submit = group.create_task(client.submit("report"))
        talk = await peer.welcome()
        rid = await taken(talk)
        await talk.send(acknowledgment(rid), chunk(rid, 2))
        handle = await submit
        events = group.create_task(collect(handle))
        for seq in range(3, 8):
            await talk.send(chunk(rid, seq), {"type": "ping"})
            await talk.expect("pong")
            talk.cut()
            talk = await peer.welcome()
            await talk.expect("attach", request_id=rid, after_seq=seq)
            await talk.send(snapshot(rid, last_seq=seq), chunk(rid, seq))
        await talk.send(complete(rid, 8))
        assert numbers(await events) == [1, 2, 3, 4, 5, 6, 7]
    assert peer.most_live == 1


@pytest.mark.clause("5.1.7", "9.5.1", "10.6.1")
async def test_unacknowledged_request_is_sent_again_under_the_same_id(peer: Peer) -> None:
    async with client_of(peer) as client, asyncio.TaskGroup() as group:
        call = group.create_task(client.call("report"))
        talk = await peer.welcome()
        rid = await taken(talk)
        talk.cut()
        talk = await peer.welcome()
        assert await taken(talk, resend=True) == rid
        await talk.send(acknowledgment(rid, duplicate=True), complete(rid, 2, "once"))
        assert await call == "once"


@pytest.mark.clause("9.2.6")
async def test_second_iteration_yields_the_log_from_event_one(peer: Peer) -> None:
    async with client_of(peer) as client, asyncio.TaskGroup() as group:
        submit = group.create_task(client.submit("report"))
        talk = await peer.welcome()
        rid = await taken(talk)
        log = [acknowledgment(rid), chunk(rid, 2), complete(rid, 3)]
        await talk.send(*log)
        handle = await submit
        assert numbers(await collect(handle)) == [1, 2]
        again = group.create_task(collect(handle))
        await talk.expect("attach", request_id=rid, after_seq=0)
        await talk.send(snapshot(rid, status="completed", last_seq=3), *log)
        assert numbers(await again) == [1, 2]


async def test_leaving_an_iteration_early_detaches_and_result_comes_back(peer: Peer) -> None:
    async with client_of(peer) as client, asyncio.TaskGroup() as group:
        handle = client.attach("job")
        talk = await peer.welcome()
        await talk.expect("attach", after_seq=0)
        await talk.send(snapshot("job"), acknowledgment("job"))
        async for event in handle:
            assert event == Status(seq=1, status="queued")
            break
        del event
        gc.collect()
        await talk.expect("detach", request_id="job")
        result = group.create_task(handle.result())
        await talk.expect("attach", request_id="job", after_seq=1)
        await talk.send(snapshot("job"), complete("job", 2, 7))
        assert await result == 7


@pytest.mark.clause("9.2.10", "10.25.4")
async def test_detach_ends_the_handle_and_what_waits_on_it(peer: Peer) -> None:
    async with client_of(peer) as client:
        handle, other = client.attach("job"), client.attach("job")
        talk = await peer.welcome()
        await talk.expect("attach")
        waiting = [asyncio.create_task(collect(handle)), asyncio.create_task(handle.result())]
        await talk.send(snapshot("job"), acknowledgment("job"), {"type": "ping"})
        await talk.expect("pong")
        handle.detach()
        handle.detach()
        for task in waiting:
            with pytest.raises(Detached):
                await task
        with pytest.raises(Detached):
            await handle.snapshot()
        other.detach()
        await talk.expect("detach", request_id="job")


@pytest.mark.clause("4.3.12", "9.1.4")
async def test_attach_to_an_unknown_id_raises_where_it_is_used(peer: Peer) -> None:
    async with client_of(peer) as client:
        handle = client.attach("nothing")
        talk = await peer.welcome()
        events = asyncio.create_task(collect(handle))
        await talk.expect("attach")
        await talk.send(failure("NOT_FOUND", request_id="nothing", reply_to="attach"))
        with pytest.raises(NotFoundError):
            await events
        with pytest.raises(NotFoundError):
            await handle.result()
        with pytest.raises(ValidationError):
            client.attach("..")


@pytest.mark.clause("9.2.8", "9.2.9")
async def test_cancel_and_snapshot(peer: Peer) -> None:
    async with client_of(peer) as client, asyncio.TaskGroup() as group:
        handle = client.attach("job")
        talk = await peer.welcome()
        await talk.expect("attach")
        await talk.send(snapshot("job", last_seq=1), acknowledgment("job"))
        cancel = group.create_task(handle.cancel("enough"))
        await talk.expect("cancel", request_id="job", reason="enough")
        await talk.send(snapshot("job", "cancel", cancel_requested=True))
        await cancel
        asked = group.create_task(handle.snapshot())
        await talk.expect("attach", after_seq=1)
        await talk.send(snapshot("job", status="processing", cancel_requested=True))
        answer = await asked
        assert answer.request.cancel_requested
        assert not answer.request.is_finished


@pytest.mark.clause("6.4.4")
async def test_slow_application_costs_bounded_memory_and_loses_nothing(peer: Peer) -> None:
    held, total = 10, 150
    stands = range(1, total - 2 * held, 40)  # further apart than what a client holds
    options = Options(reader=ReaderLimits(max_events=held), close_timeout=0.5)
    seen: list[int] = []
    detaches = 0
    is_detached = asyncio.Event()

    async def serve_log() -> None:
        """Sends all of the log at each attach, as fast as a server can."""
        nonlocal detaches
        talk = await peer.welcome()
        while True:
            message = await talk.take()
            if message["type"] == "detach":
                detaches += 1
                is_detached.set()
                continue
            is_detached.clear()
            position = message["after_seq"]
            # What was read and not taken: a full reader, and a batch on its way to the application.
            assert position <= len(seen) + 2 * held
            await talk.send(snapshot("job", last_seq=total))
            if position == 0:
                await talk.send(acknowledgment("job"))
            await talk.send(*(chunk("job", seq) for seq in range(max(2, position + 1), total)))
            await talk.send(complete("job", total))

    async with client_of(peer, options=options) as client, asyncio.TaskGroup() as group:
        server = group.create_task(serve_log())
        async for event in client.attach("job"):
            assert isinstance(event, Status | Chunk)
            seen.append(event.seq)
            if event.seq in stands:
                # It takes nothing more until its client has let go of the log.
                async with asyncio.timeout(PATIENCE):
                    await is_detached.wait()
        server.cancel()
    assert seen == list(range(1, total))
    assert detaches >= len(stands)


async def test_list_of_requests_goes_over_pages(peer: Peer) -> None:
    async with client_of(peer) as client, asyncio.TaskGroup() as group:

        async def listed() -> list[str]:
            return [r.id async for r in client.requests(status="queued", page_size=2)]

        ids = group.create_task(listed())
        talk = await peer.welcome()
        first = await talk.expect("list", status=["queued"], limit=2)
        page = {"type": "listing", "requests": [summary("c"), summary("b")]}
        await talk.send({**page, "id": first["id"], "next_cursor": "after b"})
        second = await talk.expect("list", cursor="after b", limit=2)
        await talk.send({"type": "listing", "id": second["id"], "requests": [summary("a")]})
        assert await ids == ["c", "b", "a"]


async def test_many_requests_at_once_get_their_own_answers(peer: Peer) -> None:
    async with client_of(peer) as client, asyncio.TaskGroup() as group:
        calls = [group.create_task(client.call("echo", number)) for number in range(300)]
        talk = await peer.welcome()
        requests = [await talk.expect("request") for _ in calls]
        for request in reversed(requests):
            answer = {"request_id": request["id"], "result": request["payload"]}
            await talk.send({"type": "response", **answer})
        assert [await call for call in calls] == list(range(300))


@pytest.mark.clause("9.5.4")
async def test_queue_is_bounded_while_offline(peer: Peer) -> None:
    async with client_of(peer, options=Options(max_queue=1, close_timeout=0.5)) as client:
        first = asyncio.create_task(client.call("a"))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await client.call("b")
        first.cancel()
        await asyncio.wait([first])


# The connection.


@pytest.mark.clause("6.8.5", "6.8.7", "6.8.8", "9.4.7")
async def test_goaway_moves_without_an_error_and_with_two_sockets_at_most(peer: Peer) -> None:
    async with client_of(peer) as client, asyncio.TaskGroup() as group:
        handle = client.attach("job")
        old = await peer.welcome()
        await old.expect("attach")
        events = group.create_task(collect(handle))
        await old.send(snapshot("job"), acknowledgment("job"))
        await old.send({"type": "goaway", "reason": "drain", "reconnect_after_ms": 0})
        new = await peer.welcome()
        await new.expect("attach", after_seq=1)
        await old.send(chunk("job", 2))
        await new.send(snapshot("job", last_seq=2), chunk("job", 2), complete("job", 3))
        assert numbers(await events) == [1, 2]
        assert await old.closed() == 1000
    assert peer.most_live == 2


@pytest.mark.clause("3.2.1", "3.6.1", "9.4.5", "10.42.3")
async def test_token_function_is_asked_with_the_reason(peer: Peer) -> None:
    reasons: list[str] = []

    async def fresh(reason: str) -> str:
        reasons.append(reason)
        await asyncio.sleep(0)
        return f"token-{len(reasons)}"

    async with client_of(peer, token=fresh):
        talk = await peer.welcome(
            server_time="2026-01-01T00:00:00.000Z", expires_at="2026-01-01T00:00:00.100Z"
        )
        await talk.expect("refresh", token="token-2")
        await talk.close(4401)
        await peer.welcome()
    assert reasons == ["connect", "refresh", "unauthorized"]
    assert peer.tokens == ["token-1", "token-3"]


@pytest.mark.clause("9.4.6")
async def test_failing_token_function_is_a_failed_try(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Any] = [RuntimeError("no token today"), 5, "", "x" * 20_000, "good"]
    states: list[str] = []

    def token(reason: str) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    async with client_of(peer, token=token, on_state=lambda state: states.append(state.name)):
        await peer.welcome()
    assert states.count("reconnecting") == 4
    assert peer.tokens == ["good"]
    assert "x" * 20 not in caplog.text


@pytest.mark.clause("10.42.4")
async def test_second_4401_ends_the_client(peer: Peer) -> None:
    async with client_of(peer) as client:
        for _ in range(2):
            talk = await peer.accept()
            await talk.expect("hello")
            await talk.close(4401)
        with pytest.raises(ConnectionClosed) as caught:
            await client.ready(timeout=5)
        assert caught.value.code == 4401
        with pytest.raises(ConnectionClosed):
            await client.call("echo")


@pytest.mark.clause("10.40.4")
async def test_other_principal_ends_the_client(peer: Peer) -> None:
    async with client_of(peer) as client:
        call = asyncio.create_task(client.call("report"))
        talk = await peer.welcome()
        rid = await taken(talk)
        await talk.send(acknowledgment(rid))
        talk.cut()
        await peer.welcome(principal="somebody else")
        with pytest.raises(UnauthorizedError):
            await call


@pytest.mark.clause("2.2.3", "4.3.14", "7.3.3")
async def test_malformed_and_binary_frames_close_the_connection_and_it_comes_back(
    peer: Peer,
) -> None:
    async with client_of(peer):
        for frame, code in (("{", 4400), (b"\0", 1003), ('{"type":"chunk"}', 4400)):
            talk = await peer.welcome()
            await talk.send(frame)
            assert await talk.closed() == code
        await peer.welcome()
    assert peer.most_live == 1


@pytest.mark.clause("6.5.3")
async def test_frame_over_the_limit_of_welcome_breaks_the_connection_only(peer: Peer) -> None:
    async with client_of(peer) as client:
        call = asyncio.create_task(client.call("report"))
        talk = await peer.welcome(limits={"max_message_bytes": 1000})
        rid = await taken(talk)
        await talk.send(acknowledgment(rid), chunk(rid, 2, "x" * 1500))
        assert await talk.closed() == 1009
        talk = await peer.welcome()
        await talk.expect("attach", request_id=rid, after_seq=1)
        await talk.send(snapshot(rid), complete(rid, 2, "well"))
        assert await call == "well"


@pytest.mark.clause("6.7.6")
async def test_silent_server_is_left(peer: Peer) -> None:
    now = 0.0
    states: asyncio.Queue[ClientState] = asyncio.Queue()
    options = Options(clock=lambda: now, close_timeout=0.5)
    async with client_of(peer, options=options, on_state=states.put_nowait) as client:
        await peer.welcome()
        assert (await states.get()).name == "ready"
        now = 36.0
        await fire_timer(client)
        state = await states.get()
        assert (state.name, state.code) == ("reconnecting", 4408)


@pytest.mark.clause("9.7.1", "9.7.2")
async def test_states_can_be_watched(peer: Peer) -> None:
    async def watch(client: Client) -> list[ClientState]:
        return [state async for state in client.states()]

    def broken(state: ClientState) -> None:
        raise RuntimeError

    client = client_of(peer, on_state=broken)
    async with client:
        watching = asyncio.create_task(watch(client))
        await asyncio.sleep(0)
        talk = await peer.welcome()
        await client.ready(timeout=5)
        talk.cut()
        await peer.welcome()
        await client.ready(timeout=5)
    states = await watching
    assert [state.name for state in states] == [
        "connecting", "ready", "reconnecting", "connecting", "ready", "closed",
    ]  # fmt: skip
    assert [state.resumed for state in states if state.name == "ready"] == [False, True]


@pytest.mark.clause("4.7.3")
async def test_announcements_are_handed_on(peer: Peer) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with client_of(peer, on_announcement=lambda a: heard.put_nowait(a.message)):
        talk = await peer.welcome()
        await talk.send(
            {"type": "announcement", "message": "soon", "created_at": "2026-01-01T00:00:00.000Z"}
        )
        assert await heard.get() == "soon"


async def test_server_that_speaks_no_longcall_is_tried_again(
    no_leaks: None, unused_tcp_port: int
) -> None:
    async with connect(f"ws://127.0.0.1:{unused_tcp_port}", options=FAST) as client:
        with pytest.raises(WaitTimeout):
            await client.ready(timeout=0.1)
        assert client.state.name in ("connecting", "reconnecting")


@pytest.mark.clause("9.3.4", "9.5.7")
async def test_closing_ends_what_waits_and_sends_no_cancel(peer: Peer) -> None:
    async with client_of(peer) as client:
        call = asyncio.create_task(client.call("report"))
        talk = await peer.welcome()
        rid = await taken(talk)
    with pytest.raises(ConnectionClosed) as caught:
        await call
    assert caught.value.request_id == rid
    assert caught.value.outcome_unknown
    with pytest.raises(ConnectionClosed):
        await client.call("report")
    with pytest.raises(ConnectionClosed):
        client.attach("x")


@pytest.mark.parametrize(
    "url", ["", "example.com", "https://example.com", "ws://", "ws://a:x/", "ws://a/#x"]
)
def test_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError):
        connect(url)


def test_token_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError):
        connect("ws://a", token="")


@pytest.mark.clause("3.2.7")
async def test_token_is_in_no_log(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with client_of(peer, token="very-secret-token") as client:
        await peer.welcome()
        await client.ready(timeout=5)
    assert peer.tokens == ["very-secret-token"]
    ours = [record for record in caplog.records if record.name.startswith("longcall")]
    assert ours
    assert not any("very-secret" in record.getMessage() for record in ours)
