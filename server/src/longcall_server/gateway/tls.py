# SPDX-License-Identifier: Apache-2.0
"""TLS by certificate files, which may be renewed while the server runs."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import NoReturn

from longcall_server.config import SettingsError

_log = logging.getLogger(__name__)

_REASONS = {
    "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
    "EE_KEY_TOO_SMALL": "the key is too small",
}
_NOT_PEM = "there is no certificate, or no key, in PEM form"
_Stamp = tuple[tuple[int, int, int], ...] | None


class Certificate:
    """A certificate and its key, read anew before the first handshake after they were replaced."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises `SettingsError` if no server could be run with these files."""
        self._files = (certificate, key)
        self._stamp = self._stamp_now()
        self._current = _context(certificate, key)
        self.context = _context(certificate, key)
        """What to listen with; which certificate it shows is decided at each handshake."""
        self.context.sni_callback = self._choose

    def _choose(
        self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext
    ) -> None:
        # Looking at two files is nothing beside the arithmetic of a handshake.
        stamp = self._stamp_now()
        if stamp != self._stamp:
            self._stamp = stamp
            self._renew()
        connection.context = self._current

    def _renew(self) -> None:
        try:
            self._current = _context(*self._files)
        except SettingsError as error:
            # Half replaced, perhaps: the other half will be seen too.
            _log.error("the certificate in use is kept: %s", error)
        else:
            _log.info("took the renewed certificate of %s", self._files[0])

    def _stamp_now(self) -> _Stamp:
        """What changes when a file is replaced, also one behind a symbolic link."""
        try:
            found = [path.stat() for path in self._files]
        except OSError:
            return None
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    for option, path in (("--tls-cert", certificate), ("--tls-key", key)):
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise SettingsError(f"{option}: {path}: {error.strerror}") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, _refuse_password)
    except ssl.SSLError as error:
        reason = _REASONS.get(error.reason or "", _NOT_PEM)
        raise SettingsError(f"--tls-cert {certificate}, --tls-key {key}: {reason}") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(f"--tls-cert {certificate}, --tls-key {key}: {reason}") from None
    return context


def _refuse_password() -> NoReturn:
    # Without this the library would ask for one on the terminal.
    raise SettingsError("--tls-key: the key is encrypted; give one that is not")
