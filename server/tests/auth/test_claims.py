# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
from token_maker import NOW, SECRET, accepted, claims, refused_claims, rules

from longcall_server.auth import AuthFailure, TokenRules


@pytest.mark.clause("3.1.4", "3.1.10", "3.6.4")
async def test_the_leeway_covers_exp_and_nbf_and_moves_the_end() -> None:
    lenient = rules(leeway_ms=30_000)
    late = claims(exp=NOW // 1000 - 10)
    early = claims(nbf=NOW // 1000 + 10)
    assert (await accepted(late, lenient)).expires_at == NOW + 20_000
    await accepted(early, lenient)
    assert (await refused_claims(late)).reason is AuthFailure.EXPIRED
    assert (await refused_claims(early)).reason is AuthFailure.NOT_YET_VALID
    too_late = claims(exp=NOW // 1000 - 30)
    assert (await refused_claims(too_late, lenient)).reason is AuthFailure.EXPIRED


@pytest.mark.clause("3.1.4", "3.6.4")
async def test_a_time_may_have_a_fraction_and_is_kept_to_the_millisecond() -> None:
    assert (await accepted(claims(exp=NOW / 1000 + 0.25))).expires_at == NOW + 250
    assert (await refused_claims(claims(exp=NOW / 1000))).reason is AuthFailure.EXPIRED
    await accepted(claims(nbf=NOW / 1000))


@pytest.mark.clause("3.1.5")
async def test_issuer_and_audience_are_checked_when_configured_and_only_then() -> None:
    strict = rules(issuers=["us", "and us"], audiences=["longcall", "calls"])
    good = claims(iss="us", aud=["other", "longcall"])
    for also in (good, claims(iss="and us", aud="calls")):
        await accepted(also, strict)
    await accepted(good)
    await accepted(claims(iss=7, aud={"odd": True}))
    for bad, reason, claim in (
        (claims(iss="them", aud="longcall"), AuthFailure.ISSUER, None),
        (claims(iss=["us"], aud="longcall"), AuthFailure.ISSUER, None),
        (claims(iss="us", aud="other"), AuthFailure.AUDIENCE, None),
        (claims(iss="us", aud=[]), AuthFailure.AUDIENCE, None),
        (claims(iss="us", aud=["longcall", 7]), AuthFailure.CLAIMS, "aud"),
        (claims(iss="us"), AuthFailure.CLAIMS, "aud"),
        (claims(aud="longcall"), AuthFailure.CLAIMS, "iss"),
    ):
        error = await refused_claims(bad, strict)
        assert (error.reason, error.claim) == (reason, claim), bad


async def test_a_token_for_ever_ends_with_the_calendar() -> None:
    for exp in (10**15, 10**300, 1e300):
        assert (await accepted(claims(exp=exp))).expires_at == 253_402_300_799_000


@pytest.mark.clause("3.5.3", "3.5.4")
async def test_absent_permissions_are_none_but_those_of_everybody() -> None:
    assert (await accepted(claims())).permissions == frozenset()
    everybody = rules(permissions=frozenset({"request:echo"}))
    assert (await accepted(claims(), everybody)).permissions == {"request:echo"}
    more = claims(permissions=["admin"])
    assert (await accepted(more, everybody)).permissions == {"request:echo", "admin"}


@pytest.mark.clause("3.5.6")
async def test_a_permission_that_nobody_knows_is_no_defect_and_allows_nothing() -> None:
    odd = claims(permissions=["teleport:*", "", "request:echo", "requests:write:tenant"])
    principal = await accepted(odd)
    assert principal.may_request("echo")
    assert not principal.may_request("teleport")
    assert not principal.may_list("bob")


async def test_the_tenant_may_stand_in_a_claim_of_another_name_and_then_only_there() -> None:
    foreign = rules(tenant_claim="https://id.example/org")
    values: dict[str, Any] = {"https://id.example/org": "acme", "tenant_id": "evil"}
    assert (await accepted(claims(NOW, **values), foreign)).owner.tenant_id == "acme"
    error = await refused_claims(claims(tenant_id="acme"), foreign)
    assert (error.reason, error.claim) == (AuthFailure.CLAIMS, "https://id.example/org")


async def test_other_claims_can_be_demanded() -> None:
    strict = rules(required_claims=["jti", "email"])
    await accepted(claims(jti="1", email=False), strict)
    for lacking in (claims(jti="1"), claims(jti="1", email=None)):
        error = await refused_claims(lacking, strict)
        assert (error.reason, error.claim) == (AuthFailure.CLAIMS, "email")


@pytest.mark.clause("3.1.10")
def test_a_leeway_of_more_than_a_minute_is_refused() -> None:
    with pytest.raises(ValueError, match="leeway"):
        TokenRules(leeway_ms=60_001)
    assert "k" * 4 not in repr(SECRET)
