# SPDX-License-Identifier: Apache-2.0
"""How many connections there may be: the counts alone, then on a server."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from gateway_harness import Harness, Peer, gateway, token

from longcall_server import Handlers
from longcall_server.gateway.app import GatewaySettings
from longcall_server.gateway.doors import ConnectionLimits, Doors, Full, Place
from longcall_server.gateway.entrance import EntranceSettings
from longcall_server.stores.base import Owner

ANN, BOB = Owner("acme", "ann"), Owner("acme", "bob")


def doors(**limits: int) -> Doors:
    given = {"total": 100, "per_address": 100, "per_owner": 100, "unidentified": 400} | limits
    return Doors(ConnectionLimits(**given))


def entered(doors: Doors, address: str) -> Place:
    place = doors.enter(address)
    assert isinstance(place, Place)
    return place


def test_an_address_has_its_number_and_no_more() -> None:
    counts = doors(per_address=2)
    first = entered(counts, "a")
    entered(counts, "a")
    assert counts.enter("a") is Full.ADDRESS
    entered(counts, "b")
    first.leave()
    entered(counts, "a")


def test_all_have_their_number_and_no_more() -> None:
    counts = doors(total=2)
    first = entered(counts, "a")
    entered(counts, "b")
    assert counts.enter("c") is Full.TOTAL
    first.leave()
    entered(counts, "c")


def test_an_owner_has_its_number_whatever_the_addresses() -> None:
    counts = doors(per_owner=2)
    first = entered(counts, "a")
    assert first.identify(ANN)
    assert entered(counts, "b").identify(ANN)
    refused = entered(counts, "c")
    assert not refused.identify(ANN)
    assert entered(counts, "c").identify(BOB)
    first.leave()
    # The refused one, still there, takes nothing of its owner's.
    assert entered(counts, "c").identify(ANN)


def test_to_say_again_who_one_is_counts_once() -> None:
    counts = doors(per_owner=1)
    place = entered(counts, "a")
    assert place.identify(ANN)
    assert place.identify(ANN)
    place.leave()
    place.leave()
    assert entered(counts, "a").identify(ANN)


def test_an_address_holds_a_quarter_of_those_that_have_not_said_who_they_are() -> None:
    counts = doors(unidentified=8)
    first, second = entered(counts, "a"), entered(counts, "a")
    assert counts.enter("a") is Full.ADDRESS
    assert first.identify(ANN)
    third = entered(counts, "a")
    assert counts.enter("a") is Full.ADDRESS
    for place in (second, third):
        place.leave()
    others = [entered(counts, address) for address in "bbccddee"]
    assert counts.enter("f") is Full.TOTAL
    others[0].leave()
    entered(counts, "f")


def test_sockets_that_say_nothing_are_counted_too_but_not_those_of_a_trusted_proxy() -> None:
    counts = doors(total=6, per_address=1, unidentified=4)
    assert [counts.open_socket("a") for _ in range(3)] == [True, True, False]
    counts.close_socket("a")
    assert counts.open_socket("a")
    assert [counts.open_socket(None) for _ in range(9)] == [True] * 8 + [False]
    assert not counts.open_socket("b")
    counts.close_socket(None)
    assert counts.open_socket("b")


def test_nothing_is_remembered_of_who_has_left() -> None:
    counts = doors(per_owner=1)
    for number in range(50):
        place = entered(counts, f"address {number}")
        place.identify(Owner("acme", str(number // 2)))
        assert counts.open_socket(f"address {number}")
        counts.close_socket(f"address {number}")
        place.leave()
    assert vars(counts) == vars(doors(per_owner=1))


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no limit of connections below 1"):
        ConnectionLimits(per_owner=0)


# --- On a server ---------------------------------------------------------------------------------


async def refused(at: Harness, **headers: str) -> tuple[int, str, dict[str, object]]:
    """The status of a refused upgrade, its Retry-After and its problem document."""
    given = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": "longcall.v1",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    async with at.client().get(at.http + "/v1/connect", headers=given) as response:
        body = await response.json(content_type="application/problem+json")
        return response.status, response.headers.get("Retry-After", ""), body


def limited(**limits: int) -> GatewaySettings:
    proxies = EntranceSettings(trusted_proxies=(ipaddress.ip_network("127.0.0.1"),))
    connections = ConnectionLimits(**limits)
    return GatewaySettings(connections=connections, entrance=proxies, close_timeout_ms=500)


async def welcomed_from(at: Harness, address: str, text: str | None = None) -> Peer:
    return await at.welcomed(text, headers={"X-Forwarded-For": address})


@pytest.mark.clause("2.7.5", "2.7.6")
async def test_an_address_with_too_many_connections_is_told_when_to_come_back(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with gateway(handlers, tmp_path, settings=limited(per_address=2)) as at:
        kept = [await welcomed_from(at, f"2001:db8:0:7::{number}") for number in (1, 2)]
        status, wait, body = await refused(at, X_Forwarded_For="2001:db8:0:7::3")
        assert (status, wait, body["code"]) == (429, "5", "RATE_LIMITED")
        assert (body["retryable"], body["retry_after_ms"]) == (True, 5_000)
        kept.append(await welcomed_from(at, "2001:db8:0:8::1"))
        await kept[0].ws.close()
        await at.until_connections(2)
        kept.append(await welcomed_from(at, "2001:db8:0:7::3"))


@pytest.mark.clause("2.7.5", "2.7.6")
async def test_a_full_server_is_unavailable_for_a_while(handlers: Handlers, tmp_path: Path) -> None:
    async with gateway(handlers, tmp_path, settings=limited(total=2)) as at:
        kept = [await welcomed_from(at, f"192.0.2.{number}") for number in (1, 2)]
        status, wait, body = await refused(at, X_Forwarded_For="192.0.2.3")
        assert (status, wait, body["code"]) == (503, "5", "RESOURCE_EXHAUSTED")
        assert body["status"] == 503
        assert [await peer.ask({"type": "ping"}) for peer in kept] == [{"type": "pong"}] * 2


@pytest.mark.clause("2.7.7")
async def test_a_connection_too_many_of_an_owner_is_closed_and_the_others_stay(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with gateway(handlers, tmp_path, settings=limited(per_owner=2)) as at:
        kept = [await at.welcomed(), await at.welcomed()]
        others = [await at.welcomed(token("bob")), await at.welcomed(token("ann", tenant="other"))]
        extra = await at.connect()
        await extra.send({"type": "hello", "token": token()})
        assert await extra.close_code() == 4429
        for peer in (*kept, *others):
            assert await peer.ask({"type": "ping"}) == {"type": "pong"}
        for peer in kept:
            # A refresh names the owner again, and takes no second place.
            assert (await peer.ask({"type": "refresh", "token": token()}))["type"] == "refreshed"
        await kept[0].ws.close()
        await at.until_connections(3)
        await at.welcomed()


async def test_an_address_that_says_no_hello_leaves_room_for_others(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with gateway(handlers, tmp_path, settings=limited(unidentified=8)) as at:
        silent = {"X-Forwarded-For": "192.0.2.1"}
        waiting = [await at.connect(headers=silent) for _ in range(2)]
        assert (await refused(at, X_Forwarded_For="192.0.2.1"))[0] == 429
        other = await welcomed_from(at, "192.0.2.2")
        assert (await waiting[0].hello())["type"] == "welcome"
        again = await welcomed_from(at, "192.0.2.1")
        assert not other.ws.closed
        assert not again.ws.closed


async def test_a_flood_of_one_address_is_logged_once_with_what_to_do(
    handlers: Handlers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway(handlers, tmp_path, settings=limited(per_address=1)) as at:
        kept = await welcomed_from(at, "192.0.2.1")
        for _ in range(5):
            await refused(at, X_Forwarded_For="192.0.2.1")
        assert not kept.ws.closed
    (line,) = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert "192.0.2.1 are refused: it has 1 of at most 1" in line
    assert "LONGCALL_MAX_CONNECTIONS_PER_ADDRESS" in line


async def test_a_refused_upgrade_and_one_that_fails_take_no_place(at: Harness) -> None:
    for name, value, expected in (
        ("Sec-WebSocket-Key", "short", 400),
        ("Sec-WebSocket-Version", "1", 426),
        ("Connection", "close", 400),
    ):
        status, _, body = await refused(at, **{name: value})
        assert (status, body["code"]) == (expected, "VALIDATION_ERROR")
    assert at.gateway.doors.connections == 0
