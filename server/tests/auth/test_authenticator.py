# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from token_maker import ED25519, KINDS, NOW, RSA, SECRET, authenticator, claims, refused, rules

from longcall_server.auth import (
    Algorithm,
    Authenticator,
    AuthFailure,
    KeyRing,
    Principal,
    SigningKey,
    create_token,
    principal_id,
)
from longcall_server.stores.base import Owner


@pytest.mark.clause("3.1.1", "3.1.6", "3.6.4")
@pytest.mark.parametrize("key", KINDS.values(), ids=KINDS)
async def test_a_signed_jwt_says_who_is_asking(key: SigningKey) -> None:
    accepts = rules(issuers=["issuer"], audiences=["longcall"], leeway_ms=1500)
    text = create_token(
        key,
        sub="ann",
        tenant_id="acme",
        permissions=["request:*"],
        ttl_s=60,
        now_s=NOW / 1000,
        rules=accepts,
    )
    assert await authenticator(key, rules=accepts).verify(text) == Principal(
        owner=Owner(tenant_id="acme", sub="ann"),
        permissions=frozenset({"request:*"}),
        expires_at=NOW + 60_000 + 1500,
        principal_id=principal_id(Owner(tenant_id="acme", sub="ann")),
    )


@pytest.mark.clause("3.1.6")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_verifies_what_it_signed_and_nothing_else(kind: str) -> None:
    good = KINDS[kind].sign(claims())
    for other, key in KINDS.items():
        if other != kind:
            await refused(authenticator(key), good)
    every = authenticator(*KINDS.values())
    assert (await every.verify(good)).owner.sub == "ann"


@pytest.mark.clause("3.1.7", "3.1.8")
async def test_the_list_of_algorithms_narrows_what_the_keys_allow() -> None:
    ring = KeyRing([SECRET.public, RSA.public, ED25519.public])
    narrow = Authenticator(ring, algorithms=[Algorithm.EDDSA], clock=lambda: NOW)
    assert (await narrow.verify(ED25519.sign(claims()))).owner.sub == "ann"
    for key in (SECRET, RSA):
        assert (await refused(narrow, key.sign(claims()))).reason is AuthFailure.ALGORITHM


async def test_a_token_is_verified_with_the_key_that_it_names_or_with_one_without_a_name() -> None:
    old, new, unnamed = (SigningKey.of_secret(bytes([n]) * 32, kid) for n, kid in _NAMES)
    both = authenticator(old, new)
    for key in (old, new):
        assert (await both.verify(key.sign(claims()))).owner.sub == "ann"
    stranger = SigningKey.of_secret(b"\3" * 32, "other")
    assert (await refused(both, stranger.sign(claims()))).reason is AuthFailure.KEY
    posing = SigningKey.of_secret(b"\1" * 32, "new")
    assert (await refused(both, posing.sign(claims()))).reason is AuthFailure.SIGNATURE
    nameless = SigningKey.of_secret(b"\2" * 32)
    assert (await both.verify(nameless.sign(claims()))).owner.sub == "ann"
    with_unnamed = authenticator(old, unnamed)
    assert (await with_unnamed.verify(stranger.sign(claims()))).owner.sub == "ann"


_NAMES = ((1, "old"), (2, "new"), (3, None))
