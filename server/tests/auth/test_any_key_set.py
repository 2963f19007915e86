# SPDX-License-Identifier: Apache-2.0
"""Whatever is published as a JWK Set: keys are taken or passed over, and nothing else happens."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from token_maker import EC, ED25519, RSA

from longcall_server.auth import KeyProblem, SigningKey
from longcall_server.auth.keys import jwk, jwk_set_keys

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
MEMBERS = st.sampled_from(
    ["kty", "n", "e", "d", "p", "q", "x", "y", "crv", "alg", "use", "key_ops", "kid"]
)
ODD = VALUES | st.sampled_from(["", "AA", "AQAB", "!!", "RSA", "EC", "OKP", "P-256", "none"])


@settings(max_examples=200, deadline=None)
@given(VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40))
def test_any_document_is_a_set_with_keys_or_a_problem(document: bytes) -> None:
    with contextlib.suppress(KeyProblem):
        assert jwk_set_keys(document)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([RSA, EC, ED25519]), st.dictionaries(MEMBERS, ODD, max_size=3))
def test_a_key_in_which_anything_is_changed_keeps_no_other_out(
    key: SigningKey, changes: dict[str, Any]
) -> None:
    value = {**jwk(key.public), **changes}
    fallback = {**jwk(ED25519.public), "kid": "fallback"}
    *others, last = jwk_set_keys(json.dumps({"keys": [value, fallback]}).encode())
    assert last.kid == "fallback"
    assert len(others) <= 1
    assert all(one.algorithm is key.algorithm for one in others)
