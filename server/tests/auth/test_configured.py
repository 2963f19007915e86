# SPDX-License-Identifier: Apache-2.0
"""From an operator's settings to what is accepted, and what is refused at the start."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from key_server import key_server
from token_maker import EC, ED25519, RSA, SECRET, claims, pem, private_pem, refused, token, utc_ms

from longcall_server.auth import AuthError, AuthFailure, KeyProblem, KeysUnavailable, SigningKey
from longcall_server.auth.configured import check_url, configured_authenticator
from longcall_server.config import Settings, SettingsError, load_settings

OTHER = SigningKey.of_secret(b"o" * 32)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LONGCALL_{name.upper()}", raising=False)


async def accepts(settings: Settings, key: SigningKey, **changes: Any) -> bool:
    verifier = configured_authenticator(settings)
    await verifier.start()
    try:
        await verifier.verify(token(key, claims(utc_ms(), **changes)))
    except AuthError:
        return False
    finally:
        await verifier.close()
    return True


@pytest.mark.clause("3.1.6", "3.1.7")
async def test_keys_of_every_place_are_good_together(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_bytes(b"o" * 32)
    (tmp_path / "keys.pem").write_text(pem(EC))
    async with key_server(ED25519) as provider:
        settings = load_settings(
            jwt_secret="k" * 32,
            jwt_secret_file=str(tmp_path / "secrets"),
            jwt_public_key=pem(RSA),
            jwt_public_key_file=str(tmp_path / "keys.pem"),
            jwks_url=provider.url,
        )
        for key in (SECRET, OTHER, RSA, EC, ED25519):
            assert await accepts(settings, key)
        assert not await accepts(settings, SigningKey.of_secret(b"x" * 32))


@pytest.mark.clause("3.1.7", "3.1.8")
async def test_each_place_allows_the_algorithms_of_its_keys_alone() -> None:
    both = load_settings(jwt_secret="k" * 32, jwt_public_key=pem(RSA), jwt_algorithms="RS256")
    assert await accepts(both, RSA)
    assert await accepts(load_settings(jwt_public_key=pem(RSA)), RSA)
    for settings, key in (
        (load_settings(jwt_public_key=pem(RSA)), EC),
        (load_settings(jwt_public_key=pem(RSA)), SECRET),
        (load_settings(jwt_secret="k" * 32), RSA),
        (
            load_settings(jwt_secret="k" * 32, jwt_public_key=pem(RSA), jwt_algorithms="RS256"),
            SECRET,
        ),
    ):
        verifier = configured_authenticator(settings)
        error = await refused(verifier, token(key, claims(utc_ms())))
        assert error.reason is AuthFailure.ALGORITHM


@pytest.mark.clause("3.1.8")
async def test_a_url_brings_no_shared_secret() -> None:
    async with key_server(ED25519) as provider:
        settings = load_settings(jwks_url=provider.url)
        assert await accepts(settings, ED25519)
        assert not await accepts(settings, SECRET)


async def test_the_rules_are_those_of_the_settings() -> None:
    settings = load_settings(
        jwt_secret="k" * 32,
        jwt_issuer="https://a.example, https://b.example",
        jwt_audience="longcall calls",
        jwt_leeway="30s",
        jwt_tenant_claim="org_id",
        jwt_required_claims="jti",
        jwt_permissions="request:*",
    )
    verifier = configured_authenticator(settings)
    now = utc_ms()
    good = {"iss": "https://b.example", "aud": "calls", "org_id": "acme", "jti": "1"}
    late = {**good, "exp": now // 1000 - 10}
    principal = await verifier.verify(token(SECRET, claims(now, **late)))
    assert principal.permissions == {"request:*"}
    assert principal.expires_at == (now // 1000 + 20) * 1000
    for lacking in good:
        await refused(verifier, token(SECRET, claims(now, **{**good, lacking: ...})))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "there is no key to verify tokens with"),
        ({"jwt_secret": pem(RSA)}, "LONGCALL_JWT_SECRET: this is a public key"),
        ({"jwt_secret_file": "/nowhere"}, "LONGCALL_JWT_SECRET_FILE: /nowhere: it cannot be read"),
        ({"jwt_public_key": "k" * 40}, "LONGCALL_JWT_PUBLIC_KEY: there is no public key in PEM"),
        ({"jwt_public_key": private_pem(EC)}, "LONGCALL_JWT_PUBLIC_KEY: this is a private key"),
        ({"jwt_public_key_file": "."}, "LONGCALL_JWT_PUBLIC_KEY_FILE: .*cannot be read"),
        ({"jwks_url": "id.example.com/keys"}, "LONGCALL_JWKS_URL: it is no URL"),
        (
            {"jwt_secret": "k" * 32, "jwt_algorithms": "HS256,RS256"},
            "LONGCALL_JWT_ALGORITHMS: no key is for RS256",
        ),
        (
            {"jwks_url": "https://id.example.com/keys", "jwt_algorithms": "HS256"},
            "LONGCALL_JWT_ALGORITHMS: no key is for HS256",
        ),
    ],
)
def test_bad_keys_are_refused_at_the_start_and_named(settings: Any, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem) as caught:
        configured_authenticator(load_settings(**settings))
    assert "BEGIN" not in str(caught.value).replace("-----BEGIN PUBLIC KEY-----", "")


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://id.example.com/.well-known/jwks.json", True),
        ("https://10.0.0.1:8443/keys?v=1", True),
        ("http://127.0.0.1:8080/keys", True),
        ("http://localhost/keys", True),
        ("http://[::1]:8080/keys", True),
        ("http://127.9.9.9/keys", True),
        ("http://id.example.com/keys", False),
        ("http://localhost.example.com/keys", False),
        ("http://127.0.0.1.example.com/keys", False),
        ("http://0.0.0.0/keys", False),
        ("http://127.0.0.1@id.example.com/keys", False),
        ("http://169.254.169.254/keys", False),
        ("file:///etc/keys", False),
        ("ftp://id.example.com/keys", False),
        ("HTTPS://id.example.com/keys", True),
        ("https://", False),
        ("https:///keys", False),
        ("https://id.example.com:port/keys", False),
        ("https://[::1/keys", False),
        ("", False),
    ],
)
def test_keys_come_over_https_or_from_this_machine(url: str, is_good: bool) -> None:
    if is_good:
        check_url(url, allow_http=False)
    else:
        with pytest.raises(KeyProblem):
            check_url(url, allow_http=False)


def test_http_to_another_machine_can_be_allowed() -> None:
    with pytest.raises(KeyProblem, match="LONGCALL_JWKS_ALLOW_HTTP"):
        check_url("http://keycloak:8080/keys", allow_http=False)
    check_url("http://keycloak:8080/keys", allow_http=True)


def test_a_provider_of_many_applications_needs_an_audience(
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = "https://id.example.com/keys"
    configured_authenticator(load_settings(jwks_url=url, jwt_audience="longcall"))
    assert not caplog.records
    configured_authenticator(load_settings(jwks_url=url))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "LONGCALL_JWT_AUDIENCE is not set" in record.getMessage()


async def test_whether_keys_are_there_is_told() -> None:
    assert configured_authenticator(load_settings(jwt_secret="k" * 32)).is_ready
    async with key_server(ED25519) as provider:
        verifier = configured_authenticator(load_settings(jwks_url=provider.url))
        before = verifier.is_ready
        await verifier.start()
        await verifier.verify(token(ED25519, claims(utc_ms())))
        assert (before, verifier.is_ready) == (False, True)
        await verifier.close()


async def test_keys_that_cannot_be_had_put_tokens_off() -> None:
    verifier = configured_authenticator(load_settings(jwks_url="http://127.0.0.1:9/keys"))
    await verifier.start()
    with pytest.raises(KeysUnavailable):
        await verifier.verify(token(ED25519, claims(utc_ms())))
    await verifier.close()
