# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
from service_harness import ANN, LAPTOP, PHONE, desk, principal

from longcall_server import Handlers, JsonValue, RequestContext
from longcall_server.answers import Acknowledged, Answered, Refused
from longcall_server.config import load_settings
from longcall_server.core.ratelimit import TokenBucket
from longcall_server.limits import OwnerRate
from longcall_server.requests import ServiceSettings
from longcall_server.server import service_settings
from longcall_server.stores.memory import MemoryStore

BOB = principal("bob")
T0 = 1_795_460_000_000


# --- The rate of an owner -------------------------------------------------------------------------


def test_an_owner_gets_a_burst_and_then_its_rate() -> None:
    rate = OwnerRate(per_minute=60, burst=3)
    assert [rate.take("ann", T0) for _ in range(4)] == [0, 0, 0, 1000]
    assert rate.take("ann", T0 + 999) == 1
    assert rate.take("ann", T0 + 1000) == 0
    assert rate.take("ann", T0 + 1000) == 1000


def test_owners_do_not_share() -> None:
    rate = OwnerRate(per_minute=60, burst=1)
    assert (rate.take("ann", T0), rate.take("bob", T0)) == (0, 0)
    assert rate.take("ann", T0) > 0


def test_what_has_filled_up_again_is_forgotten() -> None:
    rate = OwnerRate(per_minute=60, burst=2)
    for number in range(1000):
        assert rate.take(number, T0 + 1000 * number) == 0
    assert len(rate) == 1
    for number in range(1000):
        rate.take(f"at once {number}", T0 + 10**6)
    assert len(rate) == 1000
    for number in range(1000):
        rate.take("later", T0 + 2 * 10**6 + number)
    rate.take("much later", T0 + 3 * 10**6)
    rate.take("and later still", T0 + 4 * 10**6)
    assert len(rate) < 1000


def test_there_are_never_more_than_the_bound_and_nobody_is_refused_for_another() -> None:
    rate = OwnerRate(per_minute=1, burst=1, max_buckets=10)
    assert all(rate.take(number, T0) == 0 for number in range(1000))
    assert len(rate) == 10
    assert rate.take(999, T0) > 0
    assert rate.take(0, T0) == 0


# --- Submissions ----------------------------------------------------------------------------------


@pytest.fixture
def handlers() -> Handlers:
    made = Handlers()

    @made.register("echo")
    async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
        return payload

    @made.register("quick_echo", durable=False)
    async def quick_echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
        return payload

    return made


def code(answer: object) -> str | None:
    return str(answer.error.code) if isinstance(answer, Refused) else None


@pytest.mark.clause("4.4.2", "6.6.8")
@pytest.mark.parametrize("action", ["echo", "quick_echo"])
async def test_new_requests_of_an_owner_over_its_rate_are_refused_on_all_its_connections(
    handlers: Handlers, tmp_path: Path, action: str
) -> None:
    clock = [T0]
    store = MemoryStore(clock=lambda: clock[0])
    settings = ServiceSettings(submissions_per_minute=60, submission_burst=2)
    async with desk(handlers, tmp_path, store=store, settings=settings, idle=True) as at:
        for number, origin in enumerate((PHONE, LAPTOP)):
            answer = await at.call(action, id=f"r{number}", origin=origin)
            assert isinstance(answer, Acknowledged | Answered)
        for origin in (PHONE, LAPTOP):
            refused = await at.call(action, id="r3", origin=origin)
            assert isinstance(refused, Refused)
            assert (refused.error.code, refused.error.retryable) == ("RATE_LIMITED", True)
            assert refused.error.retry_after_ms == 1000
        assert code(await at.call("nothing", id="r4")) == "UNKNOWN_ACTION"
        assert code(await at.call(action, id="r3", who=BOB)) is None
        clock[0] += 1000
        assert code(await at.call(action, id="r3")) is None


@pytest.mark.clause("6.6.9")
@pytest.mark.parametrize(("per_minute", "burst"), [(6000, 1000), (1, 1), (600_000, 1), (60, 5000)])
def test_a_client_that_keeps_to_its_welcome_and_reconnects_each_second_never_meets_the_rate(
    per_minute: int, burst: int
) -> None:
    settings = service_settings(load_settings(messages_per_minute=per_minute, message_burst=burst))
    rate = OwnerRate(settings.submissions_per_minute, settings.submission_burst)
    allowed = 0
    for second in range(60):
        bucket = TokenBucket(per_minute, burst, T0 + 1000 * second)
        for now in range(T0 + 1000 * second, T0 + 1000 * second + 1000, 250):
            while bucket.take(now):
                assert rate.take("ann", now) == 0
                allowed += 1
    assert allowed >= 60 * burst


@pytest.mark.clause("10.5.1")
async def test_an_owner_over_its_rate_is_still_told_of_what_is_stored(
    handlers: Handlers, tmp_path: Path
) -> None:
    settings = ServiceSettings(submissions_per_minute=1, submission_burst=1)
    async with desk(handlers, tmp_path, settings=settings, idle=True) as at:
        assert isinstance(await at.call("echo", 1), Acknowledged)
        for _ in range(3):
            again = await at.call("echo", 1)
            assert isinstance(again, Acknowledged)
            assert again.duplicate
        assert code(await at.call("echo", 2)) == "CONFLICT"
        assert code(await at.call("echo", 2, id="r2")) == "RATE_LIMITED"
        assert await at.service.find(at.key("r2", ANN)) is None
