# SPDX-License-Identifier: Apache-2.0
"""Keys that signatures are verified with: shared secrets, PEM, JSON Web Keys.

Each key has one algorithm, which its kind decides. A token's header chooses among keys, never how
one is used: an RSA public key cannot be taken for a secret.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import get_default_algorithms

from longcall_server.auth.errors import KeyProblem

MIN_SECRET_BYTES: Final = 32
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
"""Beyond it a verification takes milliseconds, for anybody who sends a token."""
MAX_KEYS: Final = 100
"""Keys of one document. An identity provider publishes two or three."""
MAX_KEY_ID: Final = 256

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

_log = logging.getLogger(__name__)


class Algorithm(StrEnum):
    """The algorithms of PROTOCOL 3.1.6."""

    HS256 = "HS256"
    RS256 = "RS256"
    ES256 = "ES256"
    EDDSA = "EdDSA"


PUBLIC_KEY_ALGORITHMS: Final = frozenset(Algorithm) - {Algorithm.HS256}

_OF_KIND: Final = {"RSA": Algorithm.RS256, "EC": Algorithm.ES256, "OKP": Algorithm.EDDSA}
_IMPLEMENTED: Final = get_default_algorithms()
_PEM: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Key:
    """One key and the one algorithm it is for."""

    algorithm: Algorithm
    material: bytes | PublicKey = field(repr=False)
    kid: str | None = None
    """The `kid` that tokens name it by; None: it may fit a token of any `kid`."""

    def verify(self, signed: bytes, signature: bytes) -> bool:
        """Whether the signature is one of this key over these bytes."""
        return _IMPLEMENTED[self.algorithm].verify(signed, self.material, signature)


def secret_key(secret: bytes, kid: str | None = None) -> Key:
    """A shared secret, for HS256; raises `KeyProblem` if it is short or no secret at all."""
    if len(secret) < MIN_SECRET_BYTES:
        raise KeyProblem(f"a secret needs at least {MIN_SECRET_BYTES} bytes")
    try:
        # PROTOCOL 3.1.8: what is published must not become what signs.
        _IMPLEMENTED[Algorithm.HS256].prepare_key(secret)
    except jwt.InvalidKeyError:
        raise KeyProblem("this is a public key, a certificate or a JWK, not a secret") from None
    return Key(Algorithm.HS256, secret, kid)


def public_key(material: object, kid: str | None = None) -> Key:
    """A public key, for the algorithm of its kind; raises `KeyProblem` for a weak or other one."""
    match material:
        case RSAPublicKey(key_size=bits):
            if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
                allowed = f"from {MIN_RSA_BITS} to {MAX_RSA_BITS}"
                raise KeyProblem(f"an RSA key must have {allowed} bits, this one has {bits}")
            return Key(Algorithm.RS256, material, kid)
        case EllipticCurvePublicKey(curve=curve):
            if not isinstance(curve, SECP256R1):
                raise KeyProblem(f"an EC key must be on the curve P-256, this is on {curve.name}")
            return Key(Algorithm.ES256, material, kid)
        case Ed25519PublicKey():
            return Key(Algorithm.EDDSA, material, kid)
    raise KeyProblem("a key must be RSA, EC on the curve P-256, or Ed25519")


def pem_keys(text: str) -> tuple[Key, ...]:
    """The public keys of a text, one or more PEM blocks; raises `KeyProblem` for any other text."""
    keys = []
    # Where a variable cannot hold line ends they are often written out.
    for block in _PEM.finditer(text.replace("\\n", "\n")):
        if "PRIVATE" in block[1]:
            raise KeyProblem("this is a private key; the server needs the public key of it alone")
        if "CERTIFICATE" in block[1]:
            raise KeyProblem(
                "this is a certificate: openssl x509 -in FILE -noout -pubkey prints its public key"
            )
        try:
            keys.append(public_key(load_pem_public_key(block[0].encode())))
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise KeyProblem(f"the block {block[1]} is not a public key in PEM") from None
    if not keys:
        raise KeyProblem("there is no public key in PEM (-----BEGIN PUBLIC KEY-----)")
    if len(keys) > MAX_KEYS:
        raise KeyProblem(f"there are more than {MAX_KEYS} keys")
    return tuple(keys)


def jwk_set_keys(document: bytes) -> tuple[Key, ...]:
    """The keys of a JWK Set (RFC 7517) that can verify tokens here.

    One that cannot is passed over: of another kind or for another use, weak, or a secret or private
    key, which is nobody's any more once it is published. Raises `KeyProblem` where none is left
    or the document is no JWK Set.
    """
    try:
        values = json.loads(document)["keys"]
        if not isinstance(values, list):
            raise TypeError
    except (ValueError, TypeError, LookupError, RecursionError):
        raise KeyProblem("this is not a JWK Set") from None
    if len(values) > MAX_KEYS:
        raise KeyProblem(f"there are more than {MAX_KEYS} keys")
    keys: list[Key] = []
    for value in values:
        try:
            keys.append(_jwk(value))
        except KeyProblem as problem:
            _log.debug("a key of the JWK Set is of no use here: %s", problem)
    if not keys:
        raise KeyProblem("no key of the JWK Set can be used: RS256, ES256 or EdDSA is needed")
    return tuple(keys)


def jwk(key: Key) -> dict[str, Any]:
    """A public key as a JWK, as an identity provider would publish it."""
    value: dict[str, Any] = _IMPLEMENTED[key.algorithm].to_jwk(key.material, as_dict=True)
    value |= {"use": "sig", "alg": key.algorithm.value, "kid": key.kid or thumbprint(key)}
    value.pop("key_ops", None)
    return value


def thumbprint(key: Key) -> str:
    """The name of a public key that follows from itself (RFC 7638)."""
    value: dict[str, Any] = _IMPLEMENTED[key.algorithm].to_jwk(key.material, as_dict=True)
    members = {name: value[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in value}
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def _jwk(value: object) -> Key:
    if not isinstance(value, dict):
        raise KeyProblem("it is no object")
    kid = value.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KEY_ID):
        raise KeyProblem("its kid is no string, or too long")
    kind = value.get("kty")
    algorithm = _OF_KIND.get(kind) if isinstance(kind, str) else None
    if algorithm is None:
        raise KeyProblem("it is not a public key")
    if value.get("alg", algorithm.value) != algorithm.value:
        raise KeyProblem("it is for another algorithm")
    if value.get("use", "sig") != "sig":
        raise KeyProblem("it is not for signatures")
    operations = value.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise KeyProblem("it is not for verifying")
    try:
        material = jwt.PyJWK(value, algorithm.value).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, ArithmeticError):
        raise KeyProblem("it is malformed") from None
    return public_key(material, kid)
