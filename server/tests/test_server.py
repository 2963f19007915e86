# SPDX-License-Identifier: Apache-2.0
"""What the composition root makes of settings; whole servers are in `integration`."""

from __future__ import annotations

import pytest
from wire import settings

from longcall_server.server import entrance_settings


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
