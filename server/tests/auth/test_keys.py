# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from jwt import get_algorithm_by_name
from token_maker import EC, ED25519, KINDS, RSA, SECRET, pem, private_pem, signature

from longcall_server.auth import Algorithm, Key, KeyProblem, SigningKey, secret_key
from longcall_server.auth.keys import MAX_KEYS, jwk, jwk_set_keys, pem_keys, thumbprint

WEAK_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)
P384 = ec.generate_private_key(ec.SECP384R1())


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        (b"", "32 bytes"),
        (b"k" * 31, "32 bytes"),
        (pem(RSA).encode(), "is a public key"),
        (pem(EC).encode(), "is a public key"),
        (json.dumps(jwk(RSA.public)).encode(), "JWK"),
        (
            b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
            "key",
        ),
    ],
)
def test_a_secret_that_is_short_or_no_secret_is_refused(secret: bytes, problem: str) -> None:
    with pytest.raises(KeyProblem, match=problem) as caught:
        secret_key(secret)
    assert "MI" not in str(caught.value)
    assert secret_key(b"k" * 32).algorithm is Algorithm.HS256


@pytest.mark.parametrize("key", [RSA, EC, ED25519], ids=["RSA", "EC", "Ed25519"])
def test_a_public_key_in_pem_has_the_algorithm_of_its_kind(key: SigningKey) -> None:
    (found,) = pem_keys(pem(key))
    assert (found.algorithm, found.kid) == (key.algorithm, None)
    assert found.verify(b"text", signature(key, b"text"))
    assert not found.verify(b"Text", signature(key, b"text"))


def test_several_keys_stand_in_one_text_of_pem() -> None:
    text = f"the new one\n{pem(ED25519)}\nthe old one:\n{pem(RSA)}"
    assert [key.algorithm for key in pem_keys(text)] == [Algorithm.EDDSA, Algorithm.RS256]


def test_line_ends_of_pem_may_be_written_out() -> None:
    assert pem_keys(pem(RSA).replace("\n", "\\n")) == pem_keys(pem(RSA))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no public key in PEM"),
        ("gibberish", "no public key in PEM"),
        (pem(RSA).replace("-----END PUBLIC KEY-----", ""), "no public key in PEM"),
        (pem(RSA).replace("M", "!"), "is not a public key in PEM"),
        (pem(RSA).replace("PUBLIC KEY", "CERTIFICATE"), "a certificate: openssl x509"),
        (private_pem(EC), "a private key"),
        (f"{pem(RSA)}{private_pem(EC)}", "a private key"),
        (pem(WEAK_RSA.public_key()), "from 2048 to 8192 bits, this one has 1024"),
        (pem(P384.public_key()), "on the curve P-256, this is on secp384r1"),
        (pem(ed448.Ed448PrivateKey.generate().public_key()), "must be RSA, EC"),
        (pem(ED25519) * (MAX_KEYS + 1), f"more than {MAX_KEYS}"),
    ],
)
def test_a_text_that_is_no_good_public_key_is_refused(text: str, problem: str) -> None:
    with pytest.raises(KeyProblem, match=problem):
        pem_keys(text)


def _jwk(key: SigningKey = RSA, **changes: Any) -> dict[str, Any]:
    value = jwk(key.public) | changes
    return {name: member for name, member in value.items() if member is not ...}


def _set(*values: object) -> bytes:
    return json.dumps({"keys": values}).encode()


@pytest.mark.clause("3.1.6")
@pytest.mark.parametrize("kind", ["RS256", "ES256", "EdDSA"])
def test_a_jwk_verifies_what_its_private_halfsignature(kind: str) -> None:
    signer = KINDS[kind]
    (key,) = jwk_set_keys(_set(_jwk(signer)))
    assert (key.algorithm, key.kid) == (signer.algorithm, signer.public.kid)
    assert key.verify(b"text", signature(signer, b"text"))


@pytest.mark.clause("3.1.7", "3.1.8")
@pytest.mark.parametrize(
    ("value", "is_good"),
    [
        (_jwk(alg=...), True),
        (_jwk(alg="RS256"), True),
        (_jwk(alg="RS512"), False),
        (_jwk(alg="PS256"), False),
        (_jwk(alg="HS256"), False),
        (_jwk(alg="none"), False),
        (_jwk(alg=7), False),
        (_jwk(alg=None), False),
        (_jwk(use=...), True),
        (_jwk(use="enc"), False),
        (_jwk(use=None), False),
        (_jwk(key_ops=["verify"]), True),
        (_jwk(key_ops=["sign", "verify"]), True),
        (_jwk(key_ops=["encrypt"]), False),
        (_jwk(key_ops=[]), False),
        (_jwk(key_ops="verify"), False),
        (_jwk(kid=...), True),
        (_jwk(kid=""), False),
        (_jwk(kid=7), False),
        (_jwk(kid="k" * 257), False),
        (_jwk(x5c=["MIIB"], x5t="abc", unknown={"a": 1}), True),
        (_jwk(kty="EC"), False),
        (_jwk(kty="oct"), False),
        (_jwk(kty=...), False),
        (_jwk(kty=["RSA"]), False),
        (_jwk(n=...), False),
        (_jwk(n=""), False),
        (_jwk(n="!!"), False),
        (_jwk(n=7), False),
        (_jwk(n=jwk(RSA.public)["n"][:40]), False),
        (_jwk(e="AA"), False),
        (_jwk(d="AQAB"), False),
        (_jwk(EC, crv="P-384"), False),
        (_jwk(EC, crv=...), False),
        (_jwk(EC, y=jwk(EC.public)["x"]), False),
        (_jwk(EC, x="AA"), False),
        (_jwk(ED25519, crv="Ed448"), False),
        (_jwk(ED25519, crv="X25519"), False),
        (_jwk(ED25519, x="AA"), False),
        (_jwk(ED25519, alg="ES256"), False),
        ({"kty": "oct", "k": "a" * 64, "kid": "secret"}, False),
        ({"kty": "oct", "k": "a" * 64, "alg": "RS256"}, False),
        ({}, False),
        ([], False),
        ("RSA", False),
        (None, False),
    ],
)
def test_a_jwk_is_used_for_what_it_says_and_nothing_else(value: object, is_good: bool) -> None:
    (fallback,) = jwk_set_keys(_set(_jwk(ED25519, kid="fallback")))
    found = jwk_set_keys(_set(value, _jwk(ED25519, kid="fallback")))
    assert fallback in found
    assert len(found) == 1 + is_good


@pytest.mark.parametrize("key", [RSA, EC, ED25519], ids=["RSA", "EC", "Ed25519"])
def test_a_private_key_that_was_published_is_nobodys_any_more(key: SigningKey) -> None:
    algorithm: Any = get_algorithm_by_name(key.algorithm)
    private = {**algorithm.to_jwk(key.material, as_dict=True), "kid": "private"}
    private.pop("key_ops", None)
    assert "d" in private
    found = jwk_set_keys(_set(private, _jwk(ED25519, kid="fallback")))
    assert [one.kid for one in found] == ["fallback"]


def test_a_weak_key_of_a_set_is_passed_over() -> None:
    weak = SigningKey(Key(Algorithm.RS256, WEAK_RSA.public_key(), "weak"), WEAK_RSA)
    odd: EllipticCurvePublicKey = P384.public_key()
    other = SigningKey(Key(Algorithm.ES256, odd, "odd"), EC.material)
    assert [key.kid for key in jwk_set_keys(_set(_jwk(weak), _jwk(other), _jwk(EC)))] == [
        EC.public.kid
    ]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"<html>",
        b"\xff\xfe",
        b'{"keys": null}',
        b'{"keys": {}}',
        b'{"keys": "x"}',
        b'{"keys": []}',
        b'{"keys": [{}]}',
        b'{"keys": [',
        b"[" * 100_000,
        _set(_jwk(use="enc")),
        _set(*[_jwk(ED25519, kid=str(number)) for number in range(MAX_KEYS + 1)]),
    ],
)
def test_a_document_without_a_key_of_use_is_refused(document: bytes) -> None:
    with pytest.raises(KeyProblem):
        jwk_set_keys(document)


def test_the_name_of_a_key_is_its_thumbprint() -> None:
    example = {  # of RFC 7638, 3.1
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tS"
        "oc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0"
        "_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4"
        "vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
    }
    (key,) = jwk_set_keys(_set(example))
    assert thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert len({jwk(signer.public)["kid"] for signer in (RSA, EC, ED25519)}) == 3


def test_no_key_is_shown() -> None:
    assert "kkkk" not in repr(SECRET)
    assert "object" not in repr(RSA)
