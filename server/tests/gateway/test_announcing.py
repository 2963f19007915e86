# SPDX-License-Identifier: Apache-2.0
"""Announcements from HTTP to the connections that they are for."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import PATIENCE, Harness, Peer, gateway, token
from gateway_readers import connections, poured, stopped_reader, unsent, until_blocked
from gateway_stage import is_terminal
from service_harness import limits

from longcall_server import Handlers
from longcall_server.bus.base import Announcement, Audience
from longcall_server.gateway.app import GatewaySettings

ADMIN = token("root", "admin", tenant="operators")
ALL = {"all": True}


async def announce(
    at: Harness, message: str = "hello", to: Any = ALL, *, who: str | None = ADMIN, **fields: Any
) -> tuple[int, Any]:
    """Posts an announcement; status and body of the answer."""
    return await post(at, json.dumps({"message": message, "to": to, **fields}).encode(), who)


async def post(at: Harness, body: bytes, who: str | None = ADMIN) -> tuple[int, Any]:
    headers = {} if who is None else {"Authorization": f"Bearer {who}"}
    url = f"{at.http}/v1/announcements"
    async with at.client().post(url, data=body, headers=headers) as response:
        assert response.content_type == (
            "application/json" if response.status == 202 else "application/problem+json"
        )
        return response.status, await response.json(content_type=None)


async def heard(peer: Peer) -> list[str]:
    """What a client was told up to now."""
    await peer.send({"type": "ping", "nonce": "here"})
    seen = await peer.until(lambda message: message == {"type": "pong", "nonce": "here"})
    assert {message["type"] for message in seen[:-1]} <= {"announcement"}
    return [message["message"] for message in seen[:-1]]


@pytest.mark.clause("4.7.4", "8.10.1", "8.10.2", "8.10.4")
async def test_an_announcement_reaches_those_whom_it_is_for_and_nobody_else(at: Harness) -> None:
    people = [("ann", "acme"), ("ann", "acme"), ("bob", "acme"), ("ann", "other")]
    peers = [await at.connect() for _ in people]
    welcomes = [
        await peer.hello(token(sub, tenant=tenant))
        for peer, (sub, tenant) in zip(peers, people, strict=True)
    ]
    second = welcomes[1]["connection_id"]
    wanted: dict[str, tuple[Any, list[int]]] = {
        "all": (ALL, [0, 1, 2, 3]),
        "tenant": ({"tenant_id": "acme"}, [0, 1, 2]),
        "user": ({"tenant_id": "acme", "sub": "ann"}, [0, 1]),
        "connection": ({"connection_id": second}, [1]),
        "nobody": ({"tenant_id": "acme", "sub": "eve"}, []),
        "no connection": ({"connection_id": "never"}, []),
        "end": (ALL, [0, 1, 2, 3]),
    }
    for message, (to, _) in wanted.items():
        status, sent = await announce(at, message, to, details={"n": 1})
        assert status == 202
        assert (sent["message"], sent["details"]) == (message, {"n": 1})
    for number, peer in enumerate(peers):
        seen = await peer.until(lambda message: message.get("message") == "end")
        assert [message["message"] for message in seen] == [
            message for message, (_, hearers) in wanted.items() if number in hearers
        ]
        assert seen[-1] == sent


@pytest.mark.clause("4.2.7", "4.7.4", "8.10.2")
async def test_who_is_not_welcomed_yet_or_comes_later_never_hears_it(at: Harness) -> None:
    here, silent = await at.welcomed(), await at.connect()
    await announce(at, "now")
    assert (await here.receive())["message"] == "now"
    assert (await silent.hello())["type"] == "welcome"
    later = await at.welcomed()
    assert await heard(silent) == await heard(later) == []
    await here.ws.close()
    back = await at.welcomed()
    assert await heard(back) == []
    for kind in ("attach", "cancel", "detach"):
        await back.send({"type": kind, "request_id": "r1", "after_seq": 0})
    assert [(await back.receive())["type"] for _ in range(2)] == ["error", "error"]


@pytest.mark.clause("3.5.7", "3.5.8")
async def test_without_admin_nothing_is_said(at: Harness) -> None:
    peer = await at.welcomed()
    for who, expected in [
        (None, (401, "UNAUTHORIZED")),
        ("no.token.here", (401, "UNAUTHORIZED")),
        (token("root", "admin", ttl_s=-10), (401, "UNAUTHORIZED")),
        (token("ann", "request:*", "requests:read:tenant"), (403, "FORBIDDEN")),
    ]:
        status, body = await announce(at, who=who)
        assert (status, body["code"]) == expected
        assert "no.token" not in json.dumps(body)
    assert await heard(peer) == []


@pytest.mark.clause("8.10.3", "8.10.5")
async def test_what_cannot_be_said_is_a_problem_that_points_to_it(at: Harness) -> None:
    peer = await at.welcomed()
    bodies: list[tuple[bytes, int, str, Any]] = [
        (b'{"message":"m","to":{"tenant_id":""}}', 400, "VALIDATION_ERROR", "/to/tenant_id"),
        (b'{"message":"m","to":{"everybody":1}}', 400, "VALIDATION_ERROR", "/to/everybody"),
        (b'{"message":"m"', 400, "VALIDATION_ERROR", None),
        (b'{"message":"\xff","to":{"all":true}}', 400, "VALIDATION_ERROR", None),
        (b"", 400, "VALIDATION_ERROR", None),
    ]
    for body, status, code, pointer in bodies:
        found, problem = await post(at, body)
        assert (found, problem["code"], problem["status"]) == (status, code, status)
        assert problem.get("details") == (None if pointer is None else {"pointer": pointer})
    status, problem = await announce(at, "x" * 17_000)
    assert (status, problem["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert problem["details"]["limit"] == 16_384
    assert await heard(peer) == []


async def test_a_body_over_the_limit_of_a_message_is_not_read(at: Harness) -> None:
    limit = limits().max_message_bytes
    whole = b'{"message":"m","to":{"all":true},"more":"%s"}'
    padding = b"x" * (limit - len(whole) + 2)
    assert (await post(at, whole % padding))[0] == 202
    status, problem = await post(at, whole % (padding + b"x"))
    assert (status, problem["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_what_nobody_may_send_is_not_read(at: Harness) -> None:
    body = b"x" * (limits().max_message_bytes + 1)
    for who, status in ((None, 401), (token("ann"), 403), (ADMIN, 413)):
        assert (await post(at, body, who))[0] == status


async def test_other_methods_are_not_allowed(at: Harness) -> None:
    async with at.client().get(f"{at.http}/v1/announcements") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"


@pytest.mark.clause("6.4.1", "8.10.6")
async def test_a_reader_that_takes_nothing_gets_the_newest_when_it_takes_again(
    handlers: Handlers, tmp_path: Path
) -> None:
    bounds = limits(max_log_bytes=64 << 20)
    settings = GatewaySettings(send_buffer_bytes=131_072)
    async with gateway(handlers, tmp_path, settings=settings, bounds=bounds) as at:
        fast = await poured(at)
        slow = await stopped_reader(at)
        await slow.attach(0)
        await until_blocked(at, fast)
        padding, most = "x" * 15_000, 0
        for number in range(100):
            assert (await announce(at, f"{number}:{padding}"))[0] == 202
            assert (await fast.receive())["message"].startswith(f"{number}:")
            most = max(most, unsent(at))
            assert max(len(connection._feed._words) for connection in connections(at)) <= 16
        assert most <= 131_072 + 65_536
        slow.ws._reader._protocol.resume_reading()
        seen = await slow.until(lambda message: message.get("message", "").startswith("99:"))
        said = [m["message"].partition(":")[0] for m in seen if m["type"] == "announcement"]
        assert said[-16:] == [str(number) for number in range(84, 100)]
        assert len(said) < 40
        if not is_terminal(seen[-1]):
            seen += await slow.until(is_terminal)
        assert [m["seq"] for m in seen if "seq" in m] == list(range(1, 204)), "nothing else is lost"


@pytest.mark.clause("6.4.1")
async def test_announcements_alone_fill_no_more_than_the_buffer_of_a_connection(
    handlers: Handlers, tmp_path: Path
) -> None:
    settings = GatewaySettings(send_buffer_bytes=131_072)
    async with gateway(handlers, tmp_path, settings=settings) as at:
        fast, slow = await at.welcomed(), await stopped_reader(at)
        word = Announcement(frame("x" * 16_000), Audience())
        blocked = most = 0
        async with asyncio.timeout(PATIENCE):
            while blocked < 50:
                at.desk.node.bus.announce(word)
                await fast.receive()
                most = max(most, unsent(at))
                blocked += any(connection._outbox.is_blocked for connection in connections(at))
        assert most <= 131_072 + 16_384
        slow.ws._reader._protocol.resume_reading()
        assert (await slow.receive())["type"] == "announcement"


async def test_many_announcements_at_once_are_told_in_order_and_the_oldest_are_lost(
    at: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await at.welcomed()
    for number in range(100):
        at.desk.node.bus.announce(Announcement(frame(str(number)), Audience()))
    assert caplog.text.count("one is lost") == 1, "said once, and not for each"
    said = await peer.until(lambda message: message["message"] == "99")
    told = [int(message["message"]) for message in said]
    assert told == sorted(told)
    # Of what the process keeps the connection keeps its own newest.
    assert told[-16:] == list(range(84, 100))


@pytest.mark.clause("10.44.1")
async def test_what_another_process_announces_is_no_longer_than_a_message_here(
    handlers: Handlers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway(handlers, tmp_path, bounds=limits(max_message_bytes=4096)) as at:
        peer = await at.welcomed()
        at.desk.node.bus.announce(Announcement(frame("x" * 5000), Audience()))
        at.desk.node.bus.announce(Announcement(frame("short"), Audience()))
        assert (await peer.receive())["message"] == "short"
        assert "longer than a message may be here" in caplog.text


async def test_nothing_is_told_once_the_gateway_has_stopped(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with gateway(handlers, tmp_path) as at:
        bus = at.desk.node.bus
        await at.welcomed()
        bus.announce(Announcement(frame("in the last moment"), Audience()))
    before = asyncio.all_tasks()
    bus.announce(Announcement(frame("too late"), Audience()))
    assert asyncio.all_tasks() == before


def frame(message: str) -> str:
    return json.dumps(
        {"type": "announcement", "message": message, "created_at": "2026-01-01T00:00:00.000Z"}
    )
