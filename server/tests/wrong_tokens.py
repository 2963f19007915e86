# SPDX-License-Identifier: Apache-2.0
"""Tokens that are wrong in one way each, beside a twin that differs in that alone and is right.

`RING` and `RULES` are what a server must know to tell them apart.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from token_maker import EC, ED25519, KINDS, RSA, SECRET, claims, segment, signature, token

from longcall_server.auth import AuthFailure, KeyRing, SigningKey, TokenRules

ISSUER: Final = "https://id.example"
RULES: Final = TokenRules(issuers=[ISSUER, "https://old.example"], audiences=["longcall"])
RING: Final = KeyRing(key.public for key in KINDS.values())

Change = dict[str, Any]


@dataclass(frozen=True)
class Twins:
    """`wrong(now)` is to be refused for this reason, `right(now)` accepted; `now` in ms."""

    name: str
    wrong: Callable[[int], str]
    right: Callable[[int], str]
    reason: AuthFailure
    claim: str | None = None


def good(now: int, **changes: Any) -> Change:
    return claims(now, **{"iss": ISSUER, "aud": "longcall", **changes})


def _claim(
    name: str,
    wrong: Change,
    right: Change | None = None,
    *,
    reason: AuthFailure = AuthFailure.CLAIMS,
    claim: str | None = None,
) -> Twins:
    """Rightly signed, with other claims."""
    return Twins(
        name,
        lambda now: token(RSA, good(now, **_at(now, wrong))),
        lambda now: token(RSA, good(now, **_at(now, right or {}))),
        reason,
        claim or (next(iter(wrong)) if reason is AuthFailure.CLAIMS else None),
    )


def _at(now: int, change: Change) -> Change:
    return {name: value(now) if callable(value) else value for name, value in change.items()}


def _text(
    name: str,
    bend: Callable[[str], str],
    *,
    reason: AuthFailure = AuthFailure.MALFORMED,
    key: SigningKey = RSA,
) -> Twins:
    """A good token, bent."""
    return Twins(
        name,
        lambda now: bend(token(key, good(now))),
        lambda now: token(key, good(now)),
        reason,
    )


def _header(
    name: str,
    wrong: Change,
    right: Change | None = None,
    *,
    key: SigningKey = RSA,
    reason: AuthFailure = AuthFailure.MALFORMED,
) -> Twins:
    """Rightly signed, under another header."""
    return Twins(
        name,
        lambda now: token(key, good(now), **wrong),
        lambda now: token(key, good(now), **(right or {})),
        reason,
    )


def _signer(name: str, wrong: SigningKey, right: SigningKey, **header: Any) -> Twins:
    """Signed with a key that is not known."""
    return Twins(
        name,
        lambda now: token(wrong, good(now), **header),
        lambda now: token(right, good(now), **header),
        AuthFailure.SIGNATURE,
    )


def _payload(name: str, wrong: Callable[[str], str]) -> Twins:
    """Rightly signed, with claims written in another way."""
    return Twins(
        name,
        lambda now: token(RSA, wrong(json.dumps(good(now))).encode()),
        lambda now: token(RSA, json.dumps(good(now)).encode()),
        AuthFailure.MALFORMED,
    )


def _seconds(offset: int) -> Callable[[int], int]:
    return lambda now: now // 1000 + offset


# --- Keys of somebody else ------------------------------------------------------------------------

OTHER_RSA = SigningKey.of_private(rsa.generate_private_key(public_exponent=65537, key_size=2048))
OTHER_EC = SigningKey.of_private(ec.generate_private_key(ec.SECP256R1()))
OTHER_ED25519 = SigningKey.of_private(ed25519.Ed25519PrivateKey.generate())
OTHER_SECRET = SigningKey.of_secret(b"x" * 32)

_RSA_MATERIAL: Any = RSA.public.material
_PEM = _RSA_MATERIAL.public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
_DER = _RSA_MATERIAL.public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)


def _hmac(secret: bytes, **header: Any) -> Callable[[int], str]:
    """HS256 with whatever bytes: those of a public key, which everybody has."""

    def make(now: int) -> str:
        text = token(SECRET, good(now), **header).rpartition(".")[0]
        return f"{text}.{segment(hmac.digest(secret, text.encode(), hashlib.sha256))}"

    return make


def _wrong_curve(now: int) -> str:
    """ES256 says P-256; this is P-384 with a signature of ES384."""
    key = ec.generate_private_key(ec.SECP384R1())
    header = {"alg": "ES256", "kid": EC.public.kid}
    parts = (json.dumps(part).encode() for part in (header, good(now)))
    signed = ".".join(map(segment, parts))
    algorithm = jwt.get_algorithm_by_name("ES384")
    return f"{signed}.{segment(algorithm.sign(signed.encode(), key))}"


def _jwk(key: SigningKey) -> Any:
    algorithm: Any = jwt.get_algorithm_by_name(key.algorithm)
    return {"kid": key.public.kid, **algorithm.to_jwk(key.public.material, as_dict=True)}


def _swapped(now: int) -> str:
    """The signature of a token over the claims of another."""
    mine = token(RSA, good(now)).split(".")
    other = token(RSA, good(now, sub="admin")).split(".")
    return ".".join([other[0], other[1], mine[2]])


def _unsigned(alg: object) -> Callable[[str], str]:
    def bend(text: str) -> str:
        header = segment(json.dumps({"typ": "JWT", "alg": alg}).encode())
        return f"{header}.{text.split('.')[1]}."

    return bend


def _with_alg(alg: object) -> Callable[[str], str]:
    """A good signature, under a header that names another algorithm."""

    def bend(text: str) -> str:
        header = segment(json.dumps({"typ": "JWT", "alg": alg}).encode())
        return ".".join([header, *text.split(".")[1:]])

    return bend


def _raw_header(text: str) -> Callable[[str], str]:
    """A header that is written out, rightly signed."""

    def bend(good_text: str) -> str:
        signed = f"{segment(text.encode())}.{good_text.split('.')[1]}"
        return f"{signed}.{segment(signature(RSA, signed.encode()))}"

    return bend


def _not_canonical(text: str) -> str:
    """The last character of the signature has bits that say nothing; here they say something."""
    head, _, last = text.rpartition(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return f"{head}.{last[:-1]}{alphabet[alphabet.index(last[-1]) ^ 1]}"


def _part(number: int, bend: Callable[[str], str]) -> Callable[[str], str]:
    def bent(text: str) -> str:
        parts = text.split(".")
        parts[number] = bend(parts[number])
        return ".".join(parts)

    return bent


def _one_over(part: str) -> str:
    """One character more than whole bytes need."""
    return part + "A" * ((1 - len(part)) % 4 or 4)


def _last_bit(part: str) -> str:
    return part[:9] + ("A" if part[9] != "A" else "B") + part[10:]


def _with_exp(now: int, exp: str) -> bytes:
    """Claims with an `exp` that is written out."""
    return f'{json.dumps(good(now, exp=...))[:-1]},"exp":{exp}}}'.encode()


SIGNATURES: Final = (
    *(
        _text(f"alg {alg!r} and no signature", _unsigned(alg), reason=reason)
        for alg, reason in (
            ("none", AuthFailure.MALFORMED),
            ("None", AuthFailure.MALFORMED),
            ("NONE", AuthFailure.MALFORMED),
            ("nOnE", AuthFailure.MALFORMED),
            ("", AuthFailure.MALFORMED),
            (None, AuthFailure.MALFORMED),
            ("RS256", AuthFailure.MALFORMED),
        )
    ),
    *(
        _text(f"alg {alg!r} over a good signature", _with_alg(alg), reason=AuthFailure.ALGORITHM)
        for alg in (
            *("none", "None", "NONE", "", None, 7, ["RS256"], {"RS256": 1}, True),
            *("rs256", "RS256 ", "RS384", "RS512", "PS256", "ES256K", "HS512", "dir"),
        )
    ),
    _text("no alg", _raw_header(json.dumps({"typ": "JWT"})), reason=AuthFailure.ALGORITHM),
    Twins(
        "HS256 with the PEM of the RSA key as its secret",
        _hmac(_PEM),
        _hmac(b"k" * 32),
        AuthFailure.SIGNATURE,
    ),
    Twins(
        "HS256 with the PEM of the RSA key as its secret, naming that key",
        _hmac(_PEM, kid=RSA.public.kid),
        _hmac(b"k" * 32, kid=RSA.public.kid),
        AuthFailure.SIGNATURE,
    ),
    Twins(
        "HS256 with the PEM, without its last line end",
        _hmac(_PEM.rstrip()),
        _hmac(b"k" * 32),
        AuthFailure.SIGNATURE,
    ),
    Twins(
        "HS256 with the DER of the RSA key as its secret",
        _hmac(_DER),
        _hmac(b"k" * 32),
        AuthFailure.SIGNATURE,
    ),
    Twins("HS256 with no secret", _hmac(b""), _hmac(b"k" * 32), AuthFailure.SIGNATURE),
    _signer("RS256 of another key", OTHER_RSA, RSA, kid=RSA.public.kid),
    _signer("RS256 of another key that names none", OTHER_RSA, RSA, kid=...),
    _signer("ES256 of another key", OTHER_EC, EC, kid=EC.public.kid),
    _signer("EdDSA of another key", OTHER_ED25519, ED25519, kid=ED25519.public.kid),
    _signer("HS256 of another secret", OTHER_SECRET, SECRET),
    _header(
        "the name of a key of another kind",
        {"kid": EC.public.kid},
        {"kid": RSA.public.kid},
        reason=AuthFailure.KEY,
    ),
    _header(
        "the name of a key that nobody knows",
        {"kid": "nobody"},
        {"kid": RSA.public.kid},
        reason=AuthFailure.KEY,
    ),
    _header("an empty kid", {"kid": ""}, reason=AuthFailure.KEY),
    _header("a kid that is a number", {"kid": 7}),
    _header("a kid that is a list", {"kid": [RSA.public.kid]}),
    _header("a kid of 5,000 characters", {"kid": "k" * 5_000}),
    Twins(
        "ES256 on the curve of ES384",
        _wrong_curve,
        lambda now: token(EC, good(now)),
        AuthFailure.SIGNATURE,
    ),
    *(
        _signer(f"the key in the header ({name})", OTHER_RSA, RSA, **header)
        for name, header in (
            ("jwk", {"kid": RSA.public.kid, "jwk": _jwk(OTHER_RSA)}),
            ("jku", {"kid": RSA.public.kid, "jku": "http://127.0.0.1:9/jwks.json"}),
            ("x5u", {"kid": RSA.public.kid, "x5u": "http://127.0.0.1:9/cert.pem"}),
            ("x5c", {"kid": RSA.public.kid, "x5c": ["MIIB"]}),
            ("jwk, unnamed", {"kid": ..., "jwk": _jwk(OTHER_RSA)}),
        )
    ),
    Twins(
        "the signature of another token",
        _swapped,
        lambda now: token(RSA, good(now)),
        AuthFailure.SIGNATURE,
    ),
    _text("a changed signature", _part(2, _last_bit), reason=AuthFailure.SIGNATURE),
    _text("a changed payload", _part(1, _last_bit), reason=AuthFailure.SIGNATURE),
    _text("half a signature", _part(2, lambda part: part[:172]), reason=AuthFailure.SIGNATURE),
    _text(
        "an ES256 signature of zeros",
        _part(2, lambda _: segment(bytes(64))),
        reason=AuthFailure.SIGNATURE,
        key=EC,
    ),
    _text(
        "an EdDSA signature of zeros",
        _part(2, lambda _: segment(bytes(64))),
        reason=AuthFailure.SIGNATURE,
        key=ED25519,
    ),
)

FORMS: Final = (
    _text("an empty text", lambda _: ""),
    _text("dots alone", lambda _: ".."),
    _text("gibberish", lambda _: "gibberish"),
    _text("two segments", lambda text: text.rpartition(".")[0]),
    _text("an extra segment", lambda text: text + ".e30"),
    _text("an empty extra segment", lambda text: text + "."),
    _text("truncated in the signature", lambda text: text[: text.rindex(".") + 1]),
    _text("truncated in the header", lambda text: text[:20]),
    _text("a space before", lambda text: " " + text),
    _text("a line end behind", lambda text: text + "\n"),
    _text("a space within", lambda text: text[:30] + " " + text[30:]),
    _text("a NUL behind", lambda text: text + "\0"),
    _text("a NUL within", lambda text: text[:30] + "\0" + text[30:]),
    _text("a letter beyond ASCII", lambda text: text[:30] + "é" + text[30:]),
    _text("digits beyond ASCII", lambda text: text.replace(".", ".\u0661", 1)),
    _text("a percent sign", lambda text: text.replace(".", "%2E")),
    _text("padding", _part(2, lambda part: part + "==")),
    _text("padding of the header", _part(0, lambda part: part + "=" * (-len(part) % 4 or 4))),
    _text("the alphabet of plain base64", _part(1, lambda part: "+/" + part[2:])),
    _text("base64 that is not canonical", _not_canonical),
    _text(
        "base64 of an impossible length",
        _part(1, _one_over),
    ),
    _text("the prefix Bearer", lambda text: "Bearer " + text),
    _text("quotation marks", lambda text: f'"{text}"'),
    _text("the JSON form of a JWS", lambda text: json.dumps({"payload": text.split(".")[1]})),
    _text("a JWE of five segments", lambda text: f"{text}.{text[:8]}.{text[:8]}"),
    _text("too long by far", _part(1, lambda part: part + "A" * 20_000)),
    _text("a header too long", _part(0, lambda part: part + "A" * 9_000)),
    _text("a header that is no JSON", _part(0, lambda _: segment(b"{alg:RS256}"))),
    _text("a header that is a list", _part(0, lambda _: segment(b'["RS256"]'))),
    _text("a header that is not UTF-8", _part(0, lambda _: segment(b'{"alg":"\xff"}'))),
    _text("a header of many levels", _part(0, lambda _: segment(b"[" * 5_000))),
    _text(
        "a header with two algs",
        _raw_header(f'{{"alg":"none","alg":"RS256","kid":"{RSA.public.kid}"}}'),
    ),
    _header("a crit that is not known", {"crit": ["x"], "x": 1}, {"x": 1}),
    _header("a crit of b64", {"crit": ["b64"], "b64": True}, {"b64": True}),
    _header("an empty crit", {"crit": []}),
    _header("b64 false", {"b64": False}, {"b64": True}),
    _header("b64 false and critical", {"b64": False, "crit": ["b64"]}, {"b64": True}),
    _payload("claims that are a list", lambda text: f"[{text}]"),
    _payload("claims that are null", lambda _: "null"),
    _payload("claims that are no JSON", lambda text: text[:-1]),
    _payload("claims with a byte order mark", lambda text: "\ufeff" + text),
    Twins(
        "claims in UTF-16",
        lambda now: token(RSA, json.dumps(good(now)).encode("utf-16-le")),
        lambda now: token(RSA, json.dumps(good(now)).encode()),
        AuthFailure.MALFORMED,
    ),
    _payload("two subs", lambda text: f'{{"sub":"admin",{text[1:]}'),
    _payload("an exp that is NaN", lambda text: f'{text[:-1]},"nbf":NaN}}'),
    _payload("an exp of 5,000 digits", lambda text: f'{text[:-1]},"nbf":{"9" * 5_000}}}'),
    _payload("equal keys deep within", lambda text: f'{text[:-1]},"x":{{"a":1,"a":2}}}}'),
    _payload("claims of many levels", lambda text: f'{text[:-1]},"x":{"[" * 4_000}'),
    Twins(
        "a nested JWT",
        lambda now: token(RSA, token(RSA, good(now)).encode(), cty="JWT"),
        lambda now: token(RSA, good(now), cty="JWT"),
        AuthFailure.MALFORMED,
    ),
)

CLAIMS: Final = (
    _claim("expired", {"exp": _seconds(0)}, {"exp": _seconds(1)}, reason=AuthFailure.EXPIRED),
    _claim("expired long ago", {"exp": 1}, reason=AuthFailure.EXPIRED),
    _claim("an exp of zero", {"exp": 0}, reason=AuthFailure.EXPIRED),
    _claim(
        "a negative exp",
        {"exp": lambda now: -(now // 1000 + 60)},
        {"exp": lambda now: now // 1000 + 60},
        reason=AuthFailure.EXPIRED,
    ),
    _claim("a hugely negative exp", {"exp": -(10**300)}, reason=AuthFailure.EXPIRED),
    _claim("no exp", {"exp": ...}),
    _claim("an exp of null", {"exp": None}),
    _claim("an exp that is a string", {"exp": lambda now: str(now // 1000 + 60)}),
    _claim("an exp that is true", {"exp": True}),
    _claim("an exp that is a list", {"exp": lambda now: [now // 1000 + 60]}),
    _claim("an exp beyond a double", {"exp": 10**400}, {"exp": 10**300}),
    _claim(
        "not yet valid",
        {"nbf": _seconds(600)},
        {"nbf": _seconds(0)},
        reason=AuthFailure.NOT_YET_VALID,
    ),
    _claim("an nbf that is a string", {"nbf": lambda now: str(now // 1000)}, {"nbf": _seconds(0)}),
    _claim("an nbf of null", {"nbf": None}, {"nbf": _seconds(0)}),
    _claim("an nbf that is false", {"nbf": False}, {"nbf": 0}),
    *(
        case
        for name in ("sub", "tenant_id")
        for case in (
            _claim(f"no {name}", {name: ...}),
            _claim(f"an empty {name}", {name: ""}, {name: " "}),
            _claim(f"a {name} of null", {name: None}, {name: "null"}),
            _claim(f"a {name} that is a number", {name: 7}, {name: "7"}),
            _claim(f"a {name} that is true", {name: True}, {name: "true"}),
            _claim(f"a {name} that is a list", {name: ["ann"]}, {name: "ann"}),
            _claim(f"a {name} that is no Unicode", {name: "\ud800"}, {name: "\U00010000"}),
        )
    ),
    _claim("permissions in one text", {"permissions": "admin"}, {"permissions": ["admin"]}),
    _claim("a permission that is a number", {"permissions": [1]}, {"permissions": ["1"]}),
    _claim("a permission that is null", {"permissions": [None]}, {"permissions": []}),
    _claim("permissions of null", {"permissions": None}, {"permissions": []}),
    _claim("permissions in an object", {"permissions": {"admin": True}}, {"permissions": []}),
    _claim("no iss", {"iss": ...}),
    _claim("an iss of null", {"iss": None}),
    _claim("another iss", {"iss": "https://id.example/"}, reason=AuthFailure.ISSUER),
    _claim("an iss in other letters", {"iss": "https://ID.example"}, reason=AuthFailure.ISSUER),
    _claim("an iss in a list", {"iss": [ISSUER]}, reason=AuthFailure.ISSUER),
    _claim("no aud", {"aud": ...}),
    _claim("another aud", {"aud": "longcall2"}, reason=AuthFailure.AUDIENCE),
    _claim("an empty aud", {"aud": ""}, reason=AuthFailure.AUDIENCE),
    _claim("an aud of nobody", {"aud": []}, {"aud": ["longcall"]}, reason=AuthFailure.AUDIENCE),
    _claim(
        "an aud of others",
        {"aud": ["a", "b"]},
        {"aud": ["a", "longcall"]},
        reason=AuthFailure.AUDIENCE,
    ),
    _claim("an aud with a number", {"aud": ["longcall", 7]}, {"aud": ["longcall", "7"]}),
    _claim("an aud in an object", {"aud": {"longcall": True}}),
    _claim("an nbf beyond a double", {"nbf": -(10**400)}, {"nbf": -(10**300)}),
    Twins(
        "an exp of 1e400",
        lambda now: token(RSA, _with_exp(now, "1e400")),
        lambda now: token(RSA, _with_exp(now, "1e300")),
        AuthFailure.CLAIMS,
        "exp",
    ),
)

WRONG: Final = (*SIGNATURES, *FORMS, *CLAIMS)
BY_NAME: Final = {twins.name: twins for twins in WRONG}
