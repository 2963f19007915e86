# SPDX-License-Identifier: Apache-2.0
"""An identity provider in all its moods, on a clock that is a number: a minute takes no time."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from simulation.loop import VirtualLoop
from token_maker import ED25519, SECRET, claims, token

from longcall_server.auth import (
    Authenticator,
    AuthError,
    AuthFailure,
    KeyProblem,
    KeyRing,
    KeysUnavailable,
    SigningKey,
)
from longcall_server.auth.jwks import MOST_ABSENT, Jwks, Pace
from longcall_server.auth.keys import jwk

PACE = Pace()
START = 1_800_000_000_000
Scenario = Callable[["Provider", Authenticator], Awaitable[None]]


def new_key(kid: str | None = None) -> SigningKey:
    return SigningKey.of_private(Ed25519PrivateKey.generate(), kid)


class Provider:
    """Publishes keys; what it answers, and after how long, is up to the test."""

    def __init__(self) -> None:
        self.keys: list[SigningKey] = [new_key("first")]
        self.answer: bytes | Exception | None = None
        """Instead of the keys."""
        self.takes_s = 0.01
        self.began: list[float] = []
        """When each fetch began."""
        self.in_flight = 0
        self.most_in_flight = 0

    async def __call__(self) -> bytes:
        self.began.append(asyncio.get_running_loop().time())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.takes_s)
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.document() if self.answer is None else self.answer
        finally:
            self.in_flight -= 1

    def document(self) -> bytes:
        return json.dumps({"keys": [jwk(key.public) for key in self.keys]}).encode()


def good(key: SigningKey, **header: Any) -> str:
    return token(key, claims(START, exp=START // 1000 + 86_400), **header)


def now() -> float:
    return asyncio.get_running_loop().time()


def play(
    scenario: Scenario, *, provider: Provider | None = None, pace: Pace = PACE, jitter: float = 0.5
) -> Provider:
    """Runs a scenario against a provider; nothing of the fetching is left behind it."""
    provider = provider or Provider()

    async def run() -> None:
        jwks = Jwks(provider, name="the provider", pace=pace, jitter=lambda: jitter)
        clock = asyncio.get_running_loop().time
        verifier = Authenticator(
            KeyRing([SECRET.public], jwks=jwks), clock=lambda: START + int(clock() * 1000)
        )
        await verifier.start()
        try:
            await scenario(provider, verifier)
        finally:
            await verifier.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert provider.in_flight == 0

    loop = VirtualLoop()
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    assert provider.most_in_flight <= 1
    return provider


async def is_refused(verifier: Authenticator, text: str) -> AuthFailure:
    with pytest.raises(AuthError) as caught:
        await verifier.verify(text)
    return caught.value.reason


async def is_put_off(verifier: Authenticator, text: str) -> None:
    with pytest.raises(KeysUnavailable):
        await verifier.verify(text)


@pytest.mark.clause("3.1.6")
def test_a_token_that_comes_before_the_keys_waits_for_them() -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        assert (await verifier.verify(good(provider.keys[0]))).owner.sub == "ann"
        assert now() == pytest.approx(provider.takes_s)

    play(scenario)


@pytest.mark.clause("3.1.9")
@pytest.mark.parametrize("after_s", [0.5, 4.9, 5.1, 200.0])
def test_a_key_that_was_just_published_is_known_within_seconds(after_s: float) -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        old = provider.keys[0]
        await verifier.verify(good(old))
        await asyncio.sleep(after_s)
        new = new_key("second")
        provider.keys.append(new)
        asked_at = now()
        await verifier.verify(good(new))
        assert now() - asked_at <= PACE.floor_s + provider.takes_s
        await verifier.verify(good(old))
        assert len(provider.began) == 2

    play(scenario)


@pytest.mark.clause("3.1.9")
def test_a_key_published_while_a_fetch_was_under_way_is_found_by_the_next_one() -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        provider.takes_s = 2.0
        await asyncio.sleep(1)
        before, provider.answer = provider.document(), provider.document()
        second = new_key("second")
        provider.keys.append(second)
        asking = asyncio.create_task(verifier.verify(good(second)))
        await asyncio.sleep(1.5)
        assert provider.answer == before
        provider.answer, provider.takes_s = None, 0.01
        await asking

    play(scenario)


def test_keys_are_fetched_anew_before_they_are_old_and_removed_ones_are_gone() -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        first, second = provider.keys[0], new_key("second")
        await verifier.verify(good(first))
        provider.keys = [second]
        await verifier.verify(good(first))
        await asyncio.sleep(PACE.refresh_s)
        assert len(provider.began) == 2
        asked_at = now()
        await verifier.verify(good(second))
        assert now() == asked_at
        assert await is_refused(verifier, good(first)) is AuthFailure.KEY
        await asyncio.sleep(3600)

    provider = play(scenario)
    waits = [later - earlier for earlier, later in pairwise(provider.began)]
    # 95 % of the time, by the jitter of these tests; one for the token of the removed key.
    assert sum(wait == pytest.approx(285.01) for wait in waits) >= 12
    assert len(waits) <= 15


def test_nodes_that_started_together_do_not_fetch_together_for_ever() -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        await asyncio.sleep(PACE.refresh_s + 1)

    began = [play(scenario, jitter=jitter).began[1] for jitter in (0.0, 0.999)]
    assert began[0] - began[1] == pytest.approx(PACE.refresh_s / 10, rel=0.01)


@pytest.mark.clause("3.1.9", "3.1.11")
@pytest.mark.parametrize(
    "trouble",
    [KeyProblem("the request failed"), ZeroDivisionError("a defect of ours"), OSError("no route")],
    ids=["down", "broken", "strange"],
)
def test_while_the_url_is_down_for_a_minute_known_keys_serve_and_unknown_ones_are_put_off(
    trouble: Exception,
) -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        first, second = provider.keys[0], new_key("second")
        await verifier.verify(good(first))
        await asyncio.sleep(10)
        provider.answer = trouble
        provider.keys.append(second)
        fetches = len(provider.began)
        ends_at = now() + 60
        while now() < ends_at:
            asked_at = now()
            await verifier.verify(good(first))
            assert now() == asked_at
            await is_put_off(verifier, good(second))
            assert now() - asked_at <= PACE.patience_s
            await asyncio.sleep(0.5)
        # 1, 2, 4, 8, 10, 10, … of which half at least is waited.
        assert 5 < len(provider.began) - fetches < 20
        provider.answer = None
        back_at = now()
        while True:
            try:
                await verifier.verify(good(second))
                break
            except KeysUnavailable:
                await asyncio.sleep(0.5)
        assert now() - back_at <= PACE.retry_most_s + 1

    play(scenario)


@pytest.mark.clause("3.1.9", "3.1.11")
def test_a_url_that_never_answers_holds_up_nobody_but_who_needs_a_new_key() -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        first, second = provider.keys[0], new_key("second")
        await verifier.verify(good(first))
        await asyncio.sleep(10)
        provider.takes_s = 1e6
        asking = [asyncio.create_task(is_put_off(verifier, good(second))) for _ in range(100)]
        for _ in range(60):
            asked_at = now()
            await verifier.verify(good(first))
            assert now() == asked_at
            await asyncio.sleep(0.5)
        assert all(task.done() for task in asking)
        await asyncio.gather(*asking)
        provider.takes_s = 0.01
        provider.keys.append(second)
        await asyncio.sleep(PACE.fetch_timeout_s + PACE.retry_most_s)
        await verifier.verify(good(second))

    play(scenario)


@pytest.mark.clause("3.1.11")
def test_a_server_that_starts_while_the_url_is_down_serves_when_it_is_back() -> None:
    provider = Provider()
    provider.answer = KeyProblem("the request failed")

    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        first = provider.keys[0]
        for _ in range(10):
            await is_put_off(verifier, good(first))
            await asyncio.sleep(1)
        # Whoever needs none of those keys is served.
        await verifier.verify(good(SECRET))
        assert await is_refused(verifier, good(new_key(), alg="HS256")) is AuthFailure.SIGNATURE
        provider.answer = None
        await asyncio.sleep(PACE.retry_most_s)
        await verifier.verify(good(first))

    play(scenario, provider=provider)


_KEY = jwk(ED25519.public)
GARBAGE = (
    b"",
    b" ",
    b"null",
    b"true",
    b"7",
    b'"keys"',
    b"[]",
    b"{}",
    b"<html><body>502 Bad Gateway</body></html>",
    b"\x00" * 1000,
    b"\xff\xfe\xfd",
    b"\x1f\x8b\x08\x00" + b"\x00" * 100,
    b'{"keys"',
    b'{"keys": [',
    b'{"keys": null}',
    b'{"keys": {}}',
    b'{"keys": "first"}',
    b'{"keys": []}',
    b'{"keys": [null, 7, "x", [], {}]}',
    json.dumps({"keys": [{"kty": "oct", "k": "A" * 43, "kid": "first"}]}).encode(),
    b'{"keys": [{"kty": "RSA", "kid": "first", "n": "AQAB", "e": "AQAB"}]}',
    b'{"jwks_uri": "https://id.example/keys"}',
    b'{"error": "rate limited"}',
    b"[" * 100_000,
    b'{"keys": ' + b"[" * 100_000,
    json.dumps({"keys": [_KEY] * 101}).encode(),
    json.dumps({"keys": [_KEY | {"use": "enc"}]}).encode(),
    json.dumps({"keys": [_KEY | {"d": "AQAB"}]}).encode(),
    json.dumps({"Keys": [_KEY]}).encode(),
    json.dumps([_KEY]).encode(),
    json.dumps(_KEY).encode(),
)


@pytest.mark.clause("3.1.9", "3.1.11")
@pytest.mark.parametrize("answer", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_takes_no_key_away_and_brings_none(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        first = provider.keys[0]
        await verifier.verify(good(first))
        provider.answer = answer
        await is_put_off(verifier, good(new_key("second")))
        await asyncio.sleep(2 * PACE.refresh_s)
        await verifier.verify(good(first))
        await is_put_off(verifier, good(ED25519))
        provider.answer, provider.keys = None, [new_key("third")]
        await asyncio.sleep(PACE.retry_most_s)
        await verifier.verify(good(provider.keys[0]))
        assert await is_refused(verifier, good(first)) is AuthFailure.KEY

    play(scenario)
    (said, *_) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "the known ones stay in use" in said.getMessage()
    assert len(caplog.records) < 20


@pytest.mark.clause("3.1.9")
def test_ten_thousand_unknown_keys_cost_few_fetches_and_nobody_else_anything() -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        first, rotated = provider.keys[0], new_key("rotated")
        liar = new_key()
        await verifier.verify(good(first))

        async def attack(number: int) -> AuthFailure:
            await asyncio.sleep(number / 500)
            return await is_refused(verifier, good(liar, kid=f"unknown {number}"))

        attacks = [asyncio.create_task(attack(number)) for number in range(10_000)]
        for second in range(20):
            asked_at = now()
            await verifier.verify(good(first))
            assert now() == asked_at
            if second == 9:
                provider.keys.append(rotated)
            if second >= 9:
                await verifier.verify(good(rotated))
                assert now() - asked_at <= PACE.floor_s + provider.takes_s
            await asyncio.sleep(1)
        assert set(await asyncio.gather(*attacks)) == {AuthFailure.KEY}
        assert len(provider.began) <= now() / PACE.floor_s + 1

    began = play(scenario).began
    assert min(later - earlier for earlier, later in pairwise(began)) >= PACE.floor_s


@pytest.mark.clause("3.1.9")
def test_a_storm_at_once_is_one_fetch() -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        await verifier.verify(good(provider.keys[0]))
        await asyncio.sleep(60)
        liar = new_key()
        texts = [good(liar, kid=f"unknown {number}") for number in range(3_000)]
        refusals = await asyncio.gather(*(is_refused(verifier, text) for text in texts))
        assert set(refusals) == {AuthFailure.KEY}
        assert len(provider.began) == 2

    play(scenario)


def test_a_key_that_was_looked_for_in_vain_is_not_looked_for_again_for_a_while() -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        await verifier.verify(good(provider.keys[0]))
        late = new_key("late")
        assert await is_refused(verifier, good(late)) is AuthFailure.KEY
        fetches, asked_at = len(provider.began), now()
        provider.keys.append(late)
        for _ in range(4):
            assert await is_refused(verifier, good(late)) is AuthFailure.KEY
            await asyncio.sleep(1)
        assert len(provider.began) == fetches
        await asyncio.sleep(PACE.absent_s - 4)
        await verifier.verify(good(late))
        assert now() - asked_at < PACE.absent_s + 1

    play(scenario)


def test_what_is_remembered_of_absent_keys_is_bounded() -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        jwks = verifier._ring._jwks
        assert jwks is not None
        await verifier.verify(good(provider.keys[0]))
        liar = new_key()
        for batch in range(3):
            texts = [good(liar, kid=f"{batch} {number}") for number in range(MOST_ABSENT)]
            await asyncio.gather(*(is_refused(verifier, text) for text in texts))
            assert len(jwks._absent) <= MOST_ABSENT

    play(scenario)


def test_a_token_that_is_wrong_whatever_its_key_is_worth_no_fetch() -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        await verifier.verify(good(provider.keys[0]))
        provider.answer = KeyProblem("the request failed")
        await asyncio.sleep(60)
        unknown = new_key("unknown")
        old = token(unknown, claims(START))
        assert await is_refused(verifier, old) is AuthFailure.EXPIRED
        nobody = token(unknown, claims(START + 86_400_000, sub=""))
        assert await is_refused(verifier, nobody) is AuthFailure.CLAIMS
        assert len(provider.began) == 1

    play(scenario)


def test_a_bad_signature_of_a_known_key_is_worth_no_fetch() -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        await verifier.verify(good(provider.keys[0]))
        assert await is_refused(verifier, good(new_key("first"))) is AuthFailure.SIGNATURE
        other = SigningKey.of_secret(b"x" * 32, "unknown")
        assert await is_refused(verifier, good(other)) is AuthFailure.SIGNATURE
        assert len(provider.began) == 1

    play(scenario)


@pytest.mark.clause("3.1.9")
def test_a_provider_that_names_no_keys_can_rotate_too() -> None:
    class Nameless(Provider):
        def document(self) -> bytes:
            values = [jwk(key.public) for key in self.keys]
            return (
                json.dumps({"keys": [{**value, "kid": None} for value in values]})
                .replace(', "kid": null', "")
                .encode()
            )

    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        first, second = provider.keys[0], new_key()
        await verifier.verify(good(first, kid=...))
        await verifier.verify(good(first))
        provider.keys.append(second)
        await verifier.verify(good(second, kid=...))
        stranger = good(new_key(), kid=...)
        assert await is_refused(verifier, stranger) is AuthFailure.SIGNATURE
        asked_at = now()
        assert await is_refused(verifier, stranger) is AuthFailure.SIGNATURE
        assert now() == asked_at

    play(scenario, provider=Nameless())


def test_closing_ends_a_fetch_that_is_under_way_and_who_waits_for_it() -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        provider.takes_s = 1e6
        waiting = asyncio.create_task(verifier.verify(good(provider.keys[0])))
        await asyncio.sleep(1)
        assert provider.in_flight == 1
        await verifier.close()
        assert provider.in_flight == 0
        with pytest.raises(KeysUnavailable):
            await waiting
        assert now() <= PACE.patience_s

    play(scenario)


def test_who_gives_up_waiting_takes_nothing_from_the_others() -> None:
    async def scenario(provider: Provider, verifier: Authenticator) -> None:
        provider.takes_s = 2
        text = good(provider.keys[0])
        leaving, staying = (asyncio.create_task(verifier.verify(text)) for _ in range(2))
        await asyncio.sleep(1)
        leaving.cancel()
        await staying
        assert leaving.cancelled()

    play(scenario)
