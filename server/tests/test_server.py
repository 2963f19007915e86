# SPDX-License-Identifier: Apache-2.0
"""What the composition root makes of settings; whole servers are in `integration`."""

from __future__ import annotations

import pytest
from wire import settings

from longcall_server import Handlers
from longcall_server.config import SettingsError
from longcall_server.server import Server, entrance_settings, exposure


@pytest.mark.parametrize(
    ("host", "listed", "allowed"),
    [
        ("127.0.0.1", "", ()),
        ("localhost", "", ()),
        ("::1", "", ()),
        ("127.0.0.1", "api.example.com", ("api.example.com",)),
        ("127.0.0.1", "*", ("*",)),
        ("0.0.0.0", "", ("*",)),
        ("::", "", ("*",)),
        ("10.0.0.1", "", ("*",)),
        ("0.0.0.0", "api.example.com", ("api.example.com",)),
    ],
)
def test_without_a_list_of_names_only_a_server_on_loopback_is_strict(
    host: str, listed: str, allowed: tuple[str, ...]
) -> None:
    given = {"allowed_hosts": listed} if listed else {}
    assert entrance_settings(settings(host=host, **given)).allowed_hosts == allowed


def test_pages_that_are_being_written_here_are_let_in_in_dev_mode_alone() -> None:
    assert entrance_settings(settings(), dev=True).loopback_origins
    assert not entrance_settings(settings()).loopback_origins


@pytest.mark.parametrize(
    ("given", "missing"), [("tls_cert", "--tls-key"), ("tls_key", "--tls-cert")]
)
def test_a_certificate_without_its_key_is_refused(given: str, missing: str) -> None:
    with pytest.raises(SettingsError, match=f"^{missing}: .* is not given"):
        Server(settings(**{given: "cert.pem"}), Handlers())


@pytest.mark.parametrize(
    ("given", "notes"),
    [
        ({"host": "127.0.0.1"}, 0),
        ({"host": "0.0.0.0"}, 2),
        ({"host": "0.0.0.0", "trusted_proxies": "10.0.0.1"}, 1),
        ({"host": "10.0.0.1", "allowed_hosts": "api.example.com"}, 1),
        ({"host": "::", "allowed_hosts": "*", "trusted_proxies": "::1"}, 0),
    ],
)
def test_who_opens_a_server_to_others_is_told_what_is_missing(
    given: dict[str, str], notes: int
) -> None:
    assert len(list(exposure(settings(**given)))) == notes
