# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from longcall_server.auth import (
    Authenticator,
    AuthError,
    AuthFailure,
    AuthSettings,
    Principal,
    create_token,
    principal_id,
)
from longcall_server.stores.base import Owner

SECRET = b"k" * 32
SETTINGS = AuthSettings(SECRET)


def token(secret: bytes = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    values = {"sub": "ann", "tenant_id": "acme", "exp": int(time.time()) + 60, **claims}
    values = {name: value for name, value in values.items() if value is not ...}
    return jwt.encode(values, secret, algorithm=algorithm)


def refused(text: str, settings: AuthSettings = SETTINGS) -> AuthError:
    with pytest.raises(AuthError) as caught:
        Authenticator(settings).verify(text)
    error = caught.value
    assert error.__suppress_context__ or error.__context__ is None
    for part in text.split("."):
        assert len(part) < 4 or part not in str(error)
    return error


@pytest.mark.clause("3.6.4")
def test_a_token_made_here_is_accepted_here() -> None:
    settings = AuthSettings(SECRET, issuer="issuer", audience="longcall", leeway_ms=1500)
    now = int(time.time())
    text = create_token(
        settings, sub="ann", tenant_id="acme", permissions=["request:*"], ttl_s=60, now_s=now
    )
    principal = Authenticator(settings).verify(text)
    assert principal == Principal(
        owner=Owner(tenant_id="acme", sub="ann"),
        permissions=frozenset({"request:*"}),
        expires_at=(now + 60) * 1000 + 1500,
        principal_id=principal_id(Owner(tenant_id="acme", sub="ann")),
    )


def _unsigned(header: dict[str, str]) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"sub": "ann", "tenant_id": "acme", "exp": int(time.time()) + 60}
    return f"{part(header)}.{part(claims)}."


@pytest.mark.clause("3.1.8")
@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_a_token_without_a_signature_is_refused(algorithm: str) -> None:
    refused(_unsigned({"typ": "JWT", "alg": algorithm}))


@pytest.mark.clause("3.1.7", "3.1.8")
@pytest.mark.filterwarnings("ignore:The HMAC key:jwt.InsecureKeyLengthWarning")
@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_the_algorithm_is_ours_and_not_the_tokens(algorithm: str) -> None:
    assert refused(token(algorithm=algorithm)).reason is AuthFailure.ALGORITHM


@pytest.mark.clause("3.1.7", "3.1.8")
def test_a_token_of_another_kind_of_key_is_refused() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = {"sub": "ann", "tenant_id": "acme", "exp": int(time.time()) + 60}
    assert refused(jwt.encode(claims, key, algorithm="RS256")).reason is AuthFailure.ALGORITHM


def test_another_key_is_refused() -> None:
    assert refused(token(secret=b"x" * 32)).reason is AuthFailure.SIGNATURE


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a.b.c", "gibberish", "é.é.é", "\ud800.a.b", "A" * 5000, "eyJh.e30."]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    assert refused(text).reason in (AuthFailure.MALFORMED, AuthFailure.ALGORITHM)


@pytest.mark.clause("3.1.2", "3.1.3", "3.1.4")
@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": 1}, AuthFailure.EXPIRED),
        ({"exp": ...}, AuthFailure.CLAIMS),
        ({"exp": None}, AuthFailure.CLAIMS),
        ({"exp": "soon"}, AuthFailure.MALFORMED),
        ({"sub": ...}, AuthFailure.CLAIMS),
        ({"sub": ""}, AuthFailure.CLAIMS),
        ({"tenant_id": ...}, AuthFailure.CLAIMS),
        ({"tenant_id": 7}, AuthFailure.CLAIMS),
        ({"tenant_id": ""}, AuthFailure.CLAIMS),
        ({"tenant_id": "\ud800"}, AuthFailure.CLAIMS),
        ({"permissions": "request:*"}, AuthFailure.CLAIMS),
        ({"permissions": [1]}, AuthFailure.CLAIMS),
        ({"permissions": None}, AuthFailure.CLAIMS),
        ({"nbf": time.time() + 600}, AuthFailure.NOT_YET_VALID),
    ],
)
def test_a_missing_or_bad_claim_is_refused(claims: dict[str, Any], reason: AuthFailure) -> None:
    assert refused(token(**claims)).reason is reason


@pytest.mark.clause("3.1.4", "3.1.10", "3.6.4")
def test_the_leeway_covers_exp_and_nbf_and_moves_the_end() -> None:
    settings = AuthSettings(SECRET, leeway_ms=30_000)
    now = int(time.time())
    late = token(exp=now - 10)
    early = token(nbf=now + 10)
    assert Authenticator(settings).verify(late).expires_at == (now + 20) * 1000
    Authenticator(settings).verify(early)
    assert refused(late).reason is AuthFailure.EXPIRED
    assert refused(early).reason is AuthFailure.NOT_YET_VALID
    assert refused(token(exp=now - 40), settings).reason is AuthFailure.EXPIRED


@pytest.mark.clause("3.1.5")
def test_issuer_and_audience_are_checked_when_configured_and_only_then() -> None:
    settings = AuthSettings(SECRET, issuer="us", audience="longcall")
    good = token(iss="us", aud=["other", "longcall"])
    Authenticator(settings).verify(good)
    Authenticator(SETTINGS).verify(good)
    assert refused(token(iss="them", aud="longcall"), settings).reason is AuthFailure.ISSUER
    assert refused(token(iss="us", aud="other"), settings).reason is AuthFailure.AUDIENCE
    assert refused(token(iss="us"), settings).claim == "aud"
    assert refused(token(aud="longcall"), settings).claim == "iss"


def test_a_token_for_ever_ends_with_the_calendar() -> None:
    assert Authenticator(SETTINGS).verify(token(exp=10**15)).expires_at == 253_402_300_799_000


@pytest.mark.clause("3.5.3")
def test_absent_permissions_are_none() -> None:
    principal = Authenticator(SETTINGS).verify(token())
    assert principal.permissions == frozenset()
    assert not principal.may_request("echo")
    assert principal.may_list("ann")
    assert not principal.may_list("bob")


def _holder(*permissions: str) -> Principal:
    return Principal(Owner("acme", "ann"), frozenset(permissions), 0, "p")


@pytest.mark.clause("3.5.2", "3.5.8")
@pytest.mark.parametrize(
    ("permission", "action", "allowed"),
    [
        ("request:*", "anything", True),
        ("request:report.*", "report.monthly", True),
        ("request:report.*", "report.", True),
        ("request:report.*", "reportXmonthly", False),
        ("request:*.read", "a.b.read", True),
        ("request:a*c*e", "abcde", True),
        ("request:a*c*e", "abde", False),
        ("request:[a-z]?", "ab", False),
        ("request:echo", "echo2", False),
        ("request:", "echo", False),
        ("request", "echo", False),
        ("Request:*", "echo", False),
        ("admin", "echo", False),
        ("requests:read:tenant", "echo", False),
    ],
)
def test_an_action_needs_a_permission_that_matches_it(
    permission: str, action: str, allowed: bool
) -> None:
    assert _holder(permission).may_request(action) is allowed


@pytest.mark.clause("3.5.6")
def test_a_permission_that_nobody_knows_is_no_defect_and_allows_nothing() -> None:
    principal = Authenticator(SETTINGS).verify(
        token(permissions=["teleport:*", "", "request:echo", "requests:write:tenant"])
    )
    assert principal.may_request("echo")
    assert not principal.may_request("teleport")
    assert not principal.may_list("bob")


@pytest.mark.clause("3.4.4", "3.5.8")
def test_only_a_tenant_reader_lists_others() -> None:
    assert _holder("requests:read:tenant").may_list("bob")
    assert not _holder("admin", "request:*").may_list("bob")


@pytest.mark.clause("10.40.1")
def test_the_name_of_a_principal_tells_tenant_and_user_apart() -> None:
    names = {principal_id(Owner(*pair)) for pair in (("a", "bc"), ("ab", "c"), ("", "abc"))}
    assert len(names) == 3


def test_short_secrets_and_long_leeways_are_refused_and_secrets_not_shown() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        AuthSettings(b"short")
    with pytest.raises(ValueError, match="leeway"):
        AuthSettings(SECRET, leeway_ms=60_001)
    assert "kkk" not in repr(SETTINGS)
