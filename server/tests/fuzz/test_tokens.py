# SPDX-License-Identifier: Apache-2.0
"""Any text as a token: a good one or an `AuthError`, and what a good one is, is said here anew."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from token_maker import NOW, SECRET, authenticator, claims, segment

from longcall_server.auth import AuthError, Principal
from longcall_server.core.events import timestamp

KEY = b"k" * 32
VERIFIER = authenticator(SECRET)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, NOW // 1000, NOW // 1000 + 1, 2**63, 10**400, -(10**400)]),
    st.floats(),
    st.text(max_size=6),
    st.lists(st.text(max_size=4) | st.integers(), max_size=3),
    st.just({"a": 1}),
)
CLAIMS = st.builds(
    lambda changes: {**claims(), **changes},
    st.dictionaries(
        st.sampled_from(["sub", "tenant_id", "exp", "nbf", "iat", "permissions", "iss", "x"]),
        VALUES,
        max_size=3,
    ),
)
HEADERS = st.builds(
    lambda changes: {"alg": "HS256", "typ": "JWT", **changes},
    st.dictionaries(
        st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "x5u"]),
        VALUES | st.sampled_from(["none", "HS512", "RS256", "HS256", "hs256"]),
        max_size=2,
    ),
)


def _signed(header: bytes, payload: bytes) -> str:
    text = f"{segment(header)}.{segment(payload)}"
    return f"{text}.{segment(hmac.digest(KEY, text.encode(), 'sha256'))}"


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


@st.composite
def tokens(draw: st.DrawFn) -> str:
    """Signed by the right key, with anything in it, and then perhaps harmed."""
    header = draw(HEADERS.map(_json) | st.binary(max_size=20) | st.just(_json({"alg": "HS256"})))
    payload = draw(CLAIMS.map(_json) | st.binary(max_size=20))
    token = _signed(header, payload)
    if draw(st.booleans()):
        return token
    at = draw(st.integers(0, len(token)))
    put_in = draw(st.sampled_from(["", ".", "=", "A", "\n", "é", "\ud800", token[:at]]))
    return token[:at] + put_in + token[at + draw(st.integers(0, 2)) :]


def _verify(token: str) -> Principal | AuthError:
    verifying = VERIFIER.verify(token)
    try:
        verifying.send(None)  # with the key at hand there is nothing to wait for
    except StopIteration as done:
        principal: Principal = done.value
        return principal
    except AuthError as error:
        return error
    raise AssertionError("it waits")


@settings(max_examples=300, deadline=None)
@given(tokens() | st.text(max_size=40))
def test_whatever_is_no_good_token_is_refused_and_not_repeated(token: str) -> None:
    found = _verify(token)
    if isinstance(found, AuthError):
        parts = [part for part in token.split(".") if len(part) >= 8]
        assert not any(part in str(found) for part in parts)
        return
    head, body, signature = token.split(".")
    made = hmac.new(KEY, f"{head}.{body}".encode(), hashlib.sha256).digest()
    assert segment(made) == signature
    said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert _is_good(said)
    assert (found.owner.tenant_id, found.owner.sub) == (said["tenant_id"], said["sub"])
    assert found.permissions == set(said.get("permissions", []))
    assert found.expires_at > NOW
    assert timestamp(found.expires_at).endswith("Z")


@settings(max_examples=200, deadline=None)
@given(CLAIMS)
def test_signed_claims_are_accepted_exactly_if_they_are_good(said: dict[str, Any]) -> None:
    found = _verify(_signed(_json({"alg": "HS256", "typ": "JWT"}), _json(said)))
    written = _json(said)
    is_json = b"NaN" not in written and b"Infinity" not in written
    assert isinstance(found, Principal) == (is_json and _is_good(json.loads(written)))


def _is_good(said: dict[str, Any]) -> bool:
    """PROTOCOL 3.1.2 to 3.1.4."""
    names = (said.get("sub"), said.get("tenant_id"))
    if not all(isinstance(name, str) and name and _is_unicode(name) for name in names):
        return False
    if not _is_time(said.get("exp")) or int(min(said["exp"], 10**15) * 1000) <= NOW:
        return False
    if "nbf" in said and not (_is_time(said["nbf"]) and said["nbf"] * 1000 < NOW + 1):
        return False
    permissions = said.get("permissions", [])
    return isinstance(permissions, list) and all(isinstance(one, str) for one in permissions)


def _is_time(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
