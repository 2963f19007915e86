# SPDX-License-Identifier: Apache-2.0
"""Tokens of the people in the cases: good ones, and ones that are wrong in one way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(
    claims: dict[str, Any],
    secret: str,
    *,
    algorithm: str = "HS256",
    kind: str = "JWT",
    key_id: str | None = None,
) -> str:
    """Returns a compact JWT; `algorithm` goes into its header, the signature is always HS256."""
    named = {} if key_id is None else {"kid": key_id}
    head = _part(json.dumps({"alg": algorithm, "typ": kind, **named}).encode())
    body = _part(json.dumps(claims).encode())
    if algorithm == "none":
        return f"{head}.{body}."
    signature = hmac.new(secret.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{_part(signature)}"


def claims(sub: str, tenant: str, **other: Any) -> dict[str, Any]:
    """The claims of a person who may request every action, for an hour."""
    return {
        "sub": sub,
        "tenant_id": tenant,
        "exp": int(time.time()) + 3600,
        "permissions": ["request:*"],
        **other,
    }


def token_set(secret: str, run: str, more: dict[str, Any] | None = None) -> dict[str, str]:
    """Every token that a case can name as `${jwt.<name>}`; the tenants are this play's alone.

    `more` are claims that the server under test demands of all, such as `iss`.
    """

    def person(sub: str, tenant: str, **other: Any) -> dict[str, Any]:
        return claims(sub, tenant, **{**(more or {}), **other})

    acme, evil = f"acme-{run}", f"evil-{run}"
    alice = person("alice", acme)
    without_exp = {key: value for key, value in alice.items() if key != "exp"}
    without_tenant = {key: value for key, value in alice.items() if key != "tenant_id"}
    without_sub = {key: value for key, value in alice.items() if key != "sub"}
    return {
        "alice": sign(alice, secret),
        "bob": sign(person("bob", acme), secret),
        "mallory": sign(person("alice", evil), secret),
        "controller": sign(
            person("controller", acme, permissions=["request:conf.control"]), secret
        ),
        "operator": sign(person("root", f"operators-{run}", permissions=["admin"]), secret),
        "powerless": sign(person("carol", acme, permissions=[]), secret),
        "wrong_key": sign(alice, "another-secret-another-secret-another"),
        "expired": sign({**alice, "exp": int(time.time()) - 3600}, secret),
        "unknown_key": sign(alice, secret, algorithm="RS256", key_id="of-another-day"),
        "alg_none": sign(alice, secret, algorithm="none"),
        "alg_hs512": sign(alice, secret, algorithm="HS512"),
        "no_exp": sign(without_exp, secret),
        "no_tenant": sign(without_tenant, secret),
        "no_sub": sign(without_sub, secret),
        "garbage": "not-a-token",
    }
