# SPDX-License-Identifier: Apache-2.0
"""Clients on real sockets: the upgrade, the token, hostile frames, requests."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from gateway_harness import Harness, gateway, token
from gateway_stage import Stage, code, is_terminal, until_last_replay
from service_harness import limits

from longcall_server import HandlerError, Handlers, RequestContext
from longcall_server.gateway.app import GatewaySettings
from longcall_server.gateway.socket import Socket

# --- The upgrade ---------------------------------------------------------------------------------


@pytest.mark.clause("2.1.3")
@pytest.mark.parametrize("protocols", [(), ("chat",), ("longcall.v2", "longcall")])
async def test_an_upgrade_without_the_subprotocol_is_refused(
    at: Harness, protocols: tuple[str, ...]
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await at.connect(protocols=protocols)
    assert caught.value.status == 400


@pytest.mark.clause("2.1.1", "2.1.4")
async def test_the_subprotocol_is_chosen_among_others(at: Harness) -> None:
    peer = await at.connect(protocols=("chat", "longcall.v1"))
    assert peer.ws.protocol == "longcall.v1"


async def test_a_plain_get_is_refused_with_a_problem(at: Harness) -> None:
    async with at.client().get(f"{at.http}/v1/connect") as response:
        assert response.status == 400
        assert response.content_type == "application/problem+json"


@pytest.mark.clause("2.6.1")
async def test_compression_is_not_negotiated(at: Harness) -> None:
    peer = await at.welcomed(compress=15)
    assert not peer.ws.compress


# --- Who is asking -------------------------------------------------------------------------------


@pytest.mark.clause("3.2.3", "3.2.6", "6.6.1", "10.40.1")
async def test_a_hello_is_welcomed_with_what_holds(at: Harness) -> None:
    peer = await at.connect()
    welcome = await peer.hello()
    assert welcome["type"] == "welcome"
    assert welcome["limits"] == limits().model_dump()
    assert welcome["heartbeat"] == {"interval_ms": 25_000, "from": "server"}
    again = await (await at.connect()).hello()
    assert again["principal"] == welcome["principal"]
    assert again["connection_id"] != welcome["connection_id"]
    assert (await (await at.connect()).hello(token("bob")))["principal"] != welcome["principal"]


@pytest.mark.clause("3.2.3")
async def test_the_token_may_come_with_the_upgrade(at: Harness) -> None:
    peer = await at.connect(headers={"Authorization": f"Bearer {token()}"})
    assert (await peer.ask({"type": "hello"}))["type"] == "welcome"


@pytest.mark.clause("3.2.4")
async def test_a_token_in_the_address_is_ignored_unless_that_is_allowed(
    handlers: Handlers, tmp_path: Path
) -> None:
    for allowed in (False, True):
        settings = GatewaySettings(allow_query_token=allowed)
        async with gateway(handlers, tmp_path, settings=settings) as at:
            at.url += f"?access_token={token()}"
            peer = await at.connect()
            await peer.send({"type": "hello"})
            if allowed:
                assert (await peer.receive())["type"] == "welcome"
            else:
                assert await peer.close_code() == 4401


@pytest.mark.clause("4.2.3", "4.2.5")
@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ('{"type":"hello"}', 4401),
        ('{"type":"hello","token":"not.a.token"}', 4401),
        (json.dumps({"type": "hello", "token": token(ttl_s=-10)}), 4401),
        ('{"type":"request","id":"r1","action":"echo"}', 4400),
        ('{"type":"ping"}', 4400),
        ("{", 4400),
        ("", 4400),
        ("[" * 70_000, 1009),
    ],
)
async def test_a_bad_first_message_closes(at: Harness, frame: str, expected: int) -> None:
    peer = await at.connect()
    await peer.send(frame)
    assert await peer.close_code() == expected
    assert (await (await at.connect()).hello())["type"] == "welcome"


@pytest.mark.clause("4.2.4")
async def test_a_silent_client_is_closed_and_costs_nothing(
    handlers: Handlers, tmp_path: Path
) -> None:
    settings = GatewaySettings(hello_timeout_ms=20)
    async with gateway(handlers, tmp_path, settings=settings) as at:
        assert await (await at.connect()).close_code() == 4408


@pytest.mark.clause("3.6.5", "3.6.6")
async def test_an_expired_token_closes_and_the_request_goes_on(
    handlers: Handlers, stage: Stage, tmp_path: Path
) -> None:
    async with gateway(handlers, tmp_path) as at:
        peer = await at.welcomed(token(ttl_s=1.5))
        await peer.request("wait", 7)
        assert await peer.close_code() == 4401
        stage.go_on.set()
        assert (await at.desk.node.finished(at.desk.key())).result == "7"


@pytest.mark.clause("3.2.8", "3.5.1", "3.6.2", "3.6.3", "10.42.2")
async def test_a_refresh_keeps_the_connection_and_changes_what_is_allowed(at: Harness) -> None:
    peer = await at.welcomed(token("ann", "request:nothing"))
    await peer.request("echo", id="a")
    assert code(await peer.receive()) == "FORBIDDEN"
    for bad in (token("bob"), token("ann", tenant="other"), "nonsense", token(ttl_s=-5)):
        refusal = await peer.ask({"type": "refresh", "token": bad})
        assert (refusal["reply_to"], code(refusal)) == ("refresh", "UNAUTHORIZED")
        assert bad not in json.dumps(refusal)
    assert (await peer.ask({"type": "refresh", "token": token()}))["type"] == "refreshed"
    await peer.request("echo", 5, id="a")
    assert await peer.receive() == {"type": "response", "request_id": "a", "result": 5}


# --- Hostile frames ------------------------------------------------------------------------------


@pytest.mark.clause(
    "2.5.5",
    "2.5.6",
    "4.2.8",
    "4.3.3",
    "4.3.5",
    "4.3.6",
    "4.3.7",
    "4.3.8",
    "10.2.1",
    "10.2.2",
    "10.46.2",
)
async def test_bad_frames_are_answered_exactly_and_harm_nobody_else(at: Harness) -> None:
    good, bad = await at.welcomed(token("bob")), await at.welcomed()
    deep = "[" * 64 + "]" * 64
    cases: list[tuple[str, dict[str, Any]]] = [
        ("{", {}),
        ("null", {}),
        ("{}", {"pointer": "/type"}),
        ('{"type":"welcome"}', {"reply_to": "welcome", "code": "UNSUPPORTED_TYPE"}),
        ('{"type":"dance"}', {"reply_to": "dance", "code": "UNSUPPORTED_TYPE"}),
        ('{"type":"hello","token":"x"}', {"reply_to": "hello", "pointer": "/type"}),
        ('{"type":"request","id":"a b"}', {"reply_to": "request", "pointer": "/id"}),
        ('{"type":"request","id":"r9"}', {"reply_to": "request", "request_id": "r9"}),
        (
            '{"type":"request","id":"r9","action":"echo","payload":[1,9007199254740993]}',
            {"reply_to": "request", "request_id": "r9", "pointer": "/payload/1"},
        ),
        (
            f'{{"type":"request","id":"r9","action":"echo","payload":{deep}}}',
            {"reply_to": "request", "pointer": "/payload" + "/0" * 63},
        ),
        ('{"type":"cancel","request_id":7}', {"reply_to": "cancel", "pointer": "/request_id"}),
        ('{"type":"list","id":"l1","limit":0}', {"reply_to": "list", "id": "l1"}),
        ('{"type":"list","id":"l1","cursor":"x"}', {"id": "l1", "pointer": "/cursor"}),
        (
            '{"type":"attach","request_id":"never","after_seq":0}',
            {"reply_to": "attach", "request_id": "never", "code": "NOT_FOUND"},
        ),
        (
            '{"type":"cancel","request_id":"never"}',
            {"reply_to": "cancel", "request_id": "never", "code": "NOT_FOUND"},
        ),
        (
            '{"type":"request","id":"r9","action":"nothing"}',
            {"reply_to": "request", "request_id": "r9", "code": "UNKNOWN_ACTION"},
        ),
    ]
    for frame, expected in cases:
        answer = await bad.ask(frame)
        found = {**answer, "code": code(answer), **(answer["error"].get("details") or {})}
        assert expected.get("code", "VALIDATION_ERROR") == found["code"], frame
        assert {key: found[key] for key in expected} == expected, frame
        assert "seq" not in answer
        if "reply_to" not in expected and "id" not in expected:
            assert not {"reply_to", "request_id", "id"} & answer.keys()
    for peer in (bad, good):
        await peer.request("echo", "still here", id="last")
        assert (await peer.receive())["result"] == "still here"


@pytest.mark.clause("2.2.3")
async def test_a_binary_frame_closes_with_1003(at: Harness) -> None:
    peer = await at.welcomed()
    await peer.ws.send_bytes(b'{"type":"ping"}')
    assert await peer.close_code() == 1003


@pytest.mark.clause("2.6.3", "2.6.4", "6.5.1")
async def test_a_message_of_exactly_the_limit_passes_and_one_byte_more_closes(
    at: Harness,
) -> None:
    peer = await at.welcomed()
    size = limits().max_message_bytes
    head, tail = '{"type":"ping","nonce":"n","x":"', '"}'
    room = size - len(head) - len(tail)
    assert (await peer.ask(head + "x" * room + tail))["type"] == "pong"
    await peer.send(head + "x" * (room + 1) + tail)
    assert await peer.close_code() == 1009


async def test_a_client_that_is_still_sending_too_much_hears_why(at: Harness) -> None:
    peer = await at.welcomed()
    await peer.send('{"type":"ping","x":"' + "x" * 8_000_000 + '"}')
    assert await peer.close_code() == 1009


@pytest.mark.clause("2.2.4")
async def test_text_that_is_not_utf8_closes_with_1007(at: Harness) -> None:
    peer = await at.welcomed()
    await peer.ws.send_frame(b'{"type":"ping","nonce":"\xff"}', aiohttp.WSMsgType.TEXT)
    assert await peer.close_code() == 1007


async def test_a_client_that_pings_and_goes_away_has_gone_and_nothing_has_failed(
    at: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    post = Socket.post

    def to_nobody(self: Socket, data: bytes, kind: WSMsgType = WSMsgType.TEXT) -> int:
        if kind is WSMsgType.PONG:
            raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")
        return post(self, data, kind)

    monkeypatch.setattr(Socket, "post", to_nobody)
    peer = await at.welcomed()
    await peer.ws.ping()
    await at.until_connections(0)
    assert caplog.records == []


@pytest.mark.clause("6.6.2", "10.45.5", "10.45.6")
async def test_too_many_messages_are_refused_and_pings_only_slowed(
    handlers: Handlers, tmp_path: Path
) -> None:
    bounds = limits(message_burst=3, messages_per_minute=600)
    async with gateway(handlers, tmp_path, bounds=bounds) as at:
        peer = await at.welcomed()
        for number in range(5):
            await peer.request("echo", number, id=f"r{number}")
        answers = [await peer.receive() for _ in range(5)]
        refused = [answer for answer in answers if answer["type"] == "error"]
        assert [code(answer) for answer in refused] == ["RATE_LIMITED"] * 2
        assert all(answer["error"]["retry_after_ms"] > 0 for answer in refused)
        started = asyncio.get_running_loop().time()
        for _ in range(5):
            await peer.send({"type": "ping"})
        assert [(await peer.receive())["type"] for _ in range(5)] == ["pong"] * 5
        # Five messages at ten a second, one of them free at most.
        assert asyncio.get_running_loop().time() - started > 0.25


# --- Requests ------------------------------------------------------------------------------------


@pytest.mark.clause("2.2.1", "5.3.1", "10.24.5")
async def test_a_durable_request_is_followed_to_its_end(at: Harness) -> None:
    peer = await at.welcomed()
    await peer.request("count", 3)
    seen = await peer.until(is_terminal)
    assert [message["seq"] for message in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[0] == {
        "type": "acknowledgment",
        "request_id": "r1",
        "seq": 1,
        "status": "queued",
        "created_at": seen[0]["created_at"],
    }
    assert [message["data"] for message in seen[2:5]] == [0, 1, 2]
    assert seen[-1]["result"] == 3


@pytest.mark.clause("10.24.1", "10.24.2", "10.24.3", "10.24.4")
async def test_a_duplicate_is_event_one_again_and_then_the_log(at: Harness) -> None:
    peer = await at.welcomed()
    await peer.request("count", 2)
    first = await peer.until(is_terminal)
    await peer.request("count", 2, resend=True)
    again = await peer.until(is_terminal)
    assert again[0] == {**first[0], "duplicate": True}
    assert again[1:] == first[1:]


@pytest.mark.clause("1.1.4", "1.1.5", "4.5.1", "4.5.3", "5.6.1", "10.2.3", "10.32.1")
async def test_a_client_that_comes_back_reads_on_where_it_was(at: Harness, stage: Stage) -> None:
    peer = await at.welcomed()
    await peer.request("wait", {"a": 1})
    seen = await peer.until(lambda message: message["type"] == "status")
    await peer.ws.close()
    back = await at.welcomed()
    await back.attach(seen[-1]["seq"])
    snapshot = await back.receive()
    assert (snapshot["type"], snapshot["reply_to"]) == ("snapshot", "attach")
    assert snapshot["request"]["created_at"] == seen[0]["created_at"]
    assert snapshot["request"]["last_seq"] == 2
    stage.go_on.set()
    (end,) = await back.until(is_terminal)
    assert (end["seq"], end["result"]) == (3, {"a": 1})


@pytest.mark.clause("4.5.8", "10.29.1")
async def test_attach_to_the_end_of_a_finished_log_is_answered_by_the_snapshot_alone(
    at: Harness,
) -> None:
    peer = await at.welcomed()
    await peer.request("count", 1)
    await peer.until(is_terminal)
    await peer.attach(4)
    snapshot = await peer.receive()
    assert snapshot["result"] == 1
    assert await peer.ask({"type": "ping"}) == {"type": "pong"}
    await peer.attach(5)
    refusal = await peer.receive()
    assert (refusal["reply_to"], code(refusal)) == ("attach", "CONFLICT")
    assert refusal["error"]["details"] == {"last_seq": 4}


@pytest.mark.clause("4.5.4")
async def test_a_read_without_following_ends_at_its_snapshot(at: Harness, stage: Stage) -> None:
    peer = await at.welcomed()
    await peer.request("wait")
    await peer.until(lambda message: message["type"] == "status")
    reader = await at.welcomed()
    await reader.attach(0, follow=False)
    seen = [await reader.receive() for _ in range(3)]
    assert [message.get("seq") for message in seen] == [None, 1, 2]
    stage.go_on.set()
    await peer.until(is_terminal)
    assert await reader.ask({"type": "ping"}) == {"type": "pong"}


@pytest.mark.clause("10.25.2")
async def test_who_follows_right_behind_a_read_hears_the_end(at: Harness, stage: Stage) -> None:
    peer, reader = await at.welcomed(), await at.welcomed()
    await peer.request("wait")
    await peer.until(lambda message: message["type"] == "status")
    gates = [asyncio.Event(), asyncio.Event()]
    waiting = iter(gates)

    async def hold() -> None:
        await next(waiting).wait()

    at.desk.store.before["read"] = hold
    await reader.attach(0, follow=False)
    await reader.attach(2)
    await reader.pinged()
    gates[0].set()
    # The read is over while the other attach is being decided.
    assert [(await reader.receive()).get("seq") for _ in range(3)] == [None, 1, 2]
    gates[1].set()
    assert (await reader.receive())["type"] == "snapshot"
    del at.desk.store.before["read"]
    stage.go_on.set()
    assert [message["seq"] for message in await reader.until(is_terminal)] == [3]


@pytest.mark.clause("4.5.6", "4.5.7")
async def test_after_a_detach_nothing_more_comes(at: Harness, stage: Stage) -> None:
    peer, other = await at.welcomed(), await at.welcomed()
    await peer.request("wait")
    await peer.until(lambda message: message["type"] == "status")
    await other.attach(2)
    await other.receive()
    await peer.send({"type": "detach", "request_id": "r1"})
    await peer.pinged()
    stage.go_on.set()
    await other.until(is_terminal)
    assert await peer.ask({"type": "ping"}) == {"type": "pong"}


@pytest.mark.clause("10.25.1", "10.25.2", "10.25.3")
async def test_a_new_attach_replaces_the_cursor(at: Harness, stage: Stage) -> None:
    peer = await at.welcomed()
    await peer.request("count", 50)
    await peer.until(is_terminal)
    for _ in range(10):
        await peer.attach(0)
    await peer.attach(51)
    seen = await until_last_replay(peer, snapshots=11)
    last = max(index for index, message in enumerate(seen) if message["type"] == "snapshot")
    assert [message["seq"] for message in seen[last + 1 :]] == [52, 53]
    replay: list[int] = []
    for message in seen:
        if message["type"] == "snapshot":
            replay = []
        else:
            replay.append(message["seq"])
            assert replay == list(range(replay[0], replay[0] + len(replay)))


@pytest.mark.clause("10.9.1")
async def test_a_quick_handler_that_fails_is_told_as_having_run(
    handlers: Handlers, at: Harness
) -> None:
    @handlers.register("fail", durable=False)
    async def fail(ctx: RequestContext) -> None:
        raise HandlerError("EMPTY", "There is nothing.", details={"looked": "here"})

    peer = await at.welcomed()
    await peer.request("fail")
    assert await peer.receive() == {
        "type": "error",
        "request_id": "r1",
        "reply_to": "request",
        "executed": True,
        "error": {
            "code": "HANDLER_ERROR",
            "message": "There is nothing.",
            "retryable": False,
            "details": {"code": "EMPTY", "details": {"looked": "here"}},
        },
    }


@pytest.mark.clause("4.4.1")
async def test_many_requests_at_once_each_get_their_own_answer(at: Harness) -> None:
    peer = await at.welcomed()
    for number in range(200):
        await peer.request("echo", {"n": number}, id=f"r{number}")
    answers = [await peer.receive() for _ in range(200)]
    assert {answer["request_id"]: answer["result"] for answer in answers} == {
        f"r{number}": {"n": number} for number in range(200)
    }


@pytest.mark.clause("6.1.3", "10.1.1", "10.1.2", "10.1.3")
async def test_a_slow_store_for_one_id_does_not_hold_up_another(at: Harness) -> None:
    peer = await at.welcomed()
    store = at.desk.store
    held, let_go = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        held.set()
        await let_go.wait()

    store.before["submit"] = hold
    await peer.request("wait", id="slow")
    await held.wait()
    await peer.send({"type": "cancel", "request_id": "slow"})
    await peer.request("echo", 1, id="fast")
    assert (await peer.receive())["request_id"] == "fast"
    del store.before["submit"]
    let_go.set()
    # The cancel waited for its request: there was something to cancel.
    seen = await peer.until(lambda message: message["type"] == "snapshot")
    assert seen[0]["type"] == "acknowledgment"
    assert seen[-1]["reply_to"] == "cancel"


@pytest.mark.clause("3.4.4", "4.6.1", "4.6.2")
async def test_a_list_shows_requests_of_the_caller_alone(at: Harness, stage: Stage) -> None:
    peer, stranger = await at.welcomed(), await at.welcomed(token("bob"))
    await peer.request("wait")
    await peer.receive()
    listing = await stranger.ask({"type": "list", "id": "l1"})
    assert listing == {"type": "listing", "id": "l1", "requests": []}
    await peer.send({"type": "list", "id": "l2", "status": ["queued", "processing"]})
    seen = await peer.until(lambda message: message["type"] == "listing")
    assert [request["id"] for request in seen[-1]["requests"]] == ["r1"]
    refusal = await stranger.ask({"type": "list", "id": "l3", "sub": "ann"})
    assert (refusal["id"], code(refusal)) == ("l3", "FORBIDDEN")


@pytest.mark.clause("3.4.2", "10.48.2")
async def test_what_belongs_to_others_is_answered_like_what_never_was(
    at: Harness, stage: Stage
) -> None:
    peer = await at.welcomed()
    await peer.request("wait", "secret")
    await peer.receive()
    for text in (token("bob"), token("ann", tenant="other")):
        stranger = await at.welcomed(text)
        for message in (
            {"type": "attach", "after_seq": 0},
            {"type": "cancel", "reason": "because"},
        ):
            foreign = await stranger.ask({**message, "request_id": "r1"})
            unknown = await stranger.ask({**message, "request_id": "r2"})
            assert foreign == {**unknown, "request_id": "r1"}
            assert code(foreign) == "NOT_FOUND"
