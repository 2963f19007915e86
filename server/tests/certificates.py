# SPDX-License-Identifier: Apache-2.0
"""Certificates for servers under test, and what a client that trusts them needs."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """A self-signed certificate of this machine's names, and its key; both PEM."""

    certificate: bytes
    key: bytes
    serial: int

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Writes `cert.pem` and `key.pem`; whoever reads them sees whole files."""
        paths = folder / "cert.pem", folder / "key.pem"
        for path, content in zip(paths, (self.certificate, self.key), strict=True):
            replace(path, content)
        return paths

    def trusting(self) -> ssl.SSLContext:
        """What a client connects with that trusts this certificate alone."""
        return ssl.create_default_context(cadata=self.certificate.decode())


def pair(*, password: bytes | None = None) -> Pair:
    """A new one, valid for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server under test")])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    pem = serialization.Encoding.PEM
    return Pair(
        certificate.public_bytes(pem),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption),
        certificate.serial_number,
    )


def replace(path: Path, content: bytes) -> None:
    """As those who renew certificates do it: aside, then renamed."""
    aside = path.with_suffix(".new")
    aside.write_bytes(content)
    aside.replace(path)
