# SPDX-License-Identifier: Apache-2.0
"""The commands `token` and `jwks`, as an operator calls them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import jwt
import pytest
from token_maker import EC, ED25519, RSA, pem, private_pem

from longcall_server.__main__ import main
from longcall_server.auth import Authenticator, KeyRing, SigningKey, secret_key
from longcall_server.auth.keys import jwk_set_keys
from longcall_server.config import Settings
from longcall_server.stores.base import Owner

SECRET = "0123456789abcdef0123456789abcdef"
WHO = ("token", "--sub", "alice", "--tenant", "acme")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LONGCALL_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_token_is_made_with_the_key_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*WHO) == 2
    assert "--key FILE" in capsys.readouterr().err
    monkeypatch.setenv("LONGCALL_JWT_SECRET", SECRET)
    permissions = ("--permission", "request:*", "--permission", "requests:read:tenant")
    assert run(*WHO, *permissions, "--ttl", "24h") == 0
    token = capsys.readouterr().out.strip()
    verifier = Authenticator(KeyRing([secret_key(SECRET.encode())]))
    principal = asyncio.run(verifier.verify(token))
    assert principal.owner == Owner("acme", "alice")
    assert principal.permissions == {"request:*", "requests:read:tenant"}
    assert run(*WHO, "--ttl", "long") == 2
    assert "write a duration" in capsys.readouterr().err


@pytest.mark.parametrize("key", [RSA, EC, ED25519], ids=["RSA", "EC", "Ed25519"])
def test_a_token_of_a_private_key_is_good_with_the_set_that_jwks_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: SigningKey
) -> None:
    (tmp_path / "key.pem").write_text(private_pem(key))
    (tmp_path / "other.pem").write_text(private_pem(EC))
    assert run(*WHO, "--key", "key.pem") == 0
    token = capsys.readouterr().out.strip()
    assert run("jwks", "key.pem", "other.pem") == 0
    document = capsys.readouterr().out
    assert '"d"' not in document
    assert [value["use"] for value in json.loads(document)["keys"]] == ["sig", "sig"]
    verifier = Authenticator(KeyRing(jwk_set_keys(document.encode())))
    assert asyncio.run(verifier.verify(token)).owner == Owner("acme", "alice")


def test_a_private_key_can_have_a_name_and_goes_before_the_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LONGCALL_JWT_SECRET", SECRET)
    monkeypatch.setenv("LONGCALL_JWT_AUDIENCE", "longcall")
    (tmp_path / "key.pem").write_text(private_pem(ED25519))
    assert run(*WHO, "--key", "key.pem", "--kid", "mine") == 0
    token = capsys.readouterr().out.strip()
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": "mine", "typ": "JWT"}
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == "longcall"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((*WHO, "--key", "nothing.pem"), "nothing.pem: it cannot be read"),
        ((*WHO, "--key", "public.pem"), "public.pem: this is not a private key in PEM"),
        ((*WHO, "--kid", "mine"), "--kid: a shared secret has no name"),
        (("jwks", "public.pem"), "public.pem: this is not a private key in PEM"),
        (("jwks",), "FILE"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    problem: str,
) -> None:
    monkeypatch.setenv("LONGCALL_JWT_SECRET", SECRET)
    (tmp_path / "public.pem").write_text(pem(EC))
    assert run(*arguments) == 2
    assert problem in capsys.readouterr().err


def test_a_public_key_in_place_of_the_secret_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LONGCALL_JWT_SECRET", pem(EC))
    assert run(*WHO) == 2
    assert "LONGCALL_JWT_SECRET: this is a public key" in capsys.readouterr().err
