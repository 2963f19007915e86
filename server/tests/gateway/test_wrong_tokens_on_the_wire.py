# SPDX-License-Identifier: Apache-2.0
"""Every kind of wrong token, on real sockets, in every place where a token may stand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway_harness import Harness, gateway
from gateway_stage import code
from token_maker import utc_ms
from wrong_tokens import BY_NAME, RING, RULES, WRONG, Twins

from longcall_server import Handlers
from longcall_server.auth import Authenticator
from longcall_server.core.codes import CloseCode

EVERY = pytest.mark.parametrize("case", WRONG, ids=[case.name for case in WRONG])
SOME = [
    "alg 'none' and no signature",
    "HS256 with the PEM of the RSA key as its secret",
    "RS256 of another key",
    "the name of a key that nobody knows",
    "the key in the header (jku)",
    "an extra segment",
    "a crit that is not known",
    "expired",
    "no exp",
    "a tenant_id that is a number",
    "another iss",
    "another aud",
]
SAMPLE = pytest.mark.parametrize("case", [BY_NAME[name] for name in SOME], ids=SOME)


@pytest.fixture
async def at(handlers: Handlers, tmp_path: Path) -> AsyncIterator[Harness]:
    async with gateway(handlers, tmp_path, authenticator=Authenticator(RING, RULES)) as harness:
        yield harness


@pytest.mark.clause("3.1.1", "3.1.2", "3.1.3", "3.1.4", "3.1.5", "3.1.8", "3.2.8", "4.2.5")
@EVERY
async def test_a_hello_with_it_is_closed_with_4401_and_its_twin_welcomed(
    at: Harness, case: Twins
) -> None:
    wrong = case.wrong(utc_ms())
    peer = await at.connect()
    await peer.send(json.dumps({"type": "hello", "token": wrong}))
    assert await peer.close_code() == CloseCode.UNAUTHORIZED
    twin = await at.connect()
    assert (await twin.hello(case.right(utc_ms())))["type"] == "welcome"


@pytest.mark.clause("3.2.1", "3.2.3", "4.2.5")
@SAMPLE
async def test_an_upgrade_with_it_is_closed_with_4401_at_hello_and_its_twin_welcomed(
    at: Harness, case: Twins
) -> None:
    peer = await at.connect(headers={"Authorization": f"Bearer {case.wrong(utc_ms())}"})
    await peer.send({"type": "hello"})
    assert await peer.close_code() == CloseCode.UNAUTHORIZED
    twin = await at.connect(headers={"Authorization": f"Bearer {case.right(utc_ms())}"})
    assert (await twin.ask({"type": "hello"}))["type"] == "welcome"


@SAMPLE
async def test_a_request_over_http_with_it_is_401_and_its_twin_is_let_in(
    at: Harness, case: Twins
) -> None:
    statuses = []
    for text in (case.wrong(utc_ms()), case.right(utc_ms())):
        headers = {"Authorization": f"Bearer {text}"}
        url = f"{at.http}/v1/requests/r1/files/a"
        async with at.client().get(url, headers=headers) as answer:
            statuses.append(answer.status)
            assert text not in await answer.text()
    assert statuses == [401, 404]


@pytest.mark.clause("3.6.3", "10.42.1")
@SAMPLE
async def test_a_refresh_with_it_is_refused_and_its_twin_taken(at: Harness, case: Twins) -> None:
    peer = await at.connect()
    assert (await peer.hello(case.right(utc_ms())))["type"] == "welcome"
    wrong = case.wrong(utc_ms())
    refusal = await peer.ask({"type": "refresh", "token": wrong})
    assert (refusal["reply_to"], code(refusal)) == ("refresh", "UNAUTHORIZED")
    assert wrong not in json.dumps(refusal)
    answer = await peer.ask({"type": "refresh", "token": case.right(utc_ms())})
    assert answer["type"] == "refreshed"
