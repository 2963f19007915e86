# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from token_maker import EC, ED25519, NOW, RSA, SECRET, authenticator, pem, private_pem, rules

from longcall_server.auth import KeyProblem, SigningKey, create_token
from longcall_server.auth.keys import thumbprint
from longcall_server.config import SettingsError, load_settings


def decoded(text: str) -> dict[str, Any]:
    return dict(jwt.decode(text, options={"verify_signature": False}))


@pytest.mark.parametrize("key", [RSA, EC, ED25519], ids=["RSA", "EC", "Ed25519"])
async def test_a_private_key_in_pem_signs_under_its_thumbprint_or_a_given_name(
    key: SigningKey,
) -> None:
    text = private_pem(key).encode()
    for kid in (None, "mine"):
        signer = SigningKey.of_pem(text, kid)
        made = create_token(signer, sub="ann", tenant_id="acme", now_s=NOW / 1000)
        header = jwt.get_unverified_header(made)
        assert (header["alg"], header["kid"]) == (key.algorithm, kid or thumbprint(key.public))
        assert (await authenticator(signer).verify(made)).owner.sub == "ann"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "not a private key in PEM"),
        (b"k" * 40, "not a private key in PEM"),
        (pem(RSA).encode(), "not a private key in PEM"),
        (private_pem(EC, b"password").encode(), "is encrypted"),
    ],
)
def test_what_is_no_private_key_is_refused(text: bytes, problem: str) -> None:
    with pytest.raises(KeyProblem, match=problem):
        SigningKey.of_pem(text)


@pytest.mark.parametrize(
    ("material", "problem"),
    [
        (rsa.generate_private_key(public_exponent=65537, key_size=1024), "has 1024"),
        (ec.generate_private_key(ec.SECP384R1()), "curve P-256"),
        (ed448.Ed448PrivateKey.generate(), "must be RSA, EC"),
        (b"k" * 32, "must be RSA, EC"),
    ],
)
def test_a_key_that_no_server_accepts_signs_nothing(material: object, problem: str) -> None:
    with pytest.raises(KeyProblem, match=problem):
        SigningKey.of_private(material)


async def test_a_token_says_what_the_rules_demand() -> None:
    demands = rules(issuers=["a", "b"], audiences=["c", "d"], tenant_claim="org_id")
    made = create_token(
        SECRET, sub="ann", tenant_id="acme", ttl_s=5, now_s=NOW / 1000, rules=demands
    )
    values = decoded(made)
    assert (values["iss"], values["aud"], values["org_id"]) == ("a", "c", "acme")
    assert "tenant_id" not in values
    assert values["exp"] - values["iat"] == 5
    assert (await authenticator(SECRET, rules=demands).verify(made)).owner.tenant_id == "acme"


def test_the_first_secret_of_a_file_signs(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_bytes(b"# new\n" + b"n" * 32 + b"\n" + b"o" * 32)
    assert SigningKey.of_settings(load_settings(jwt_secret_file=path)).material == b"n" * 32
    both = load_settings(jwt_secret_file=path, jwt_secret="k" * 32)
    assert SigningKey.of_settings(both).material == b"k" * 32


def test_without_a_secret_nothing_is_signed(tmp_path: Path) -> None:
    for settings, problem in (
        (load_settings(jwt_public_key=pem(RSA)), "nothing to sign with"),
        (load_settings(jwt_secret_file=tmp_path / "none"), "LONGCALL_JWT_SECRET_FILE: .*be read"),
    ):
        with pytest.raises(SettingsError, match=problem):
            SigningKey.of_settings(settings)


def test_a_secret_is_not_shown() -> None:
    assert "kkkk" not in repr(SECRET)
    assert "PRIVATE" not in repr(RSA)
