# SPDX-License-Identifier: Apache-2.0
"""The search for tokens finds them however they are written."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import quote

import pytest
from evidence import Evidence
from wire import token

TOKEN = token("eve")
HEAD, PAYLOAD, SIGNATURE = TOKEN.split(".")


@pytest.mark.parametrize(
    "leak",
    [
        TOKEN,
        f"Bearer {TOKEN}",
        f"{HEAD}.{PAYLOAD}",
        PAYLOAD[5:40],
        SIGNATURE,
        SIGNATURE[3:30],
        SIGNATURE[-12:],
        repr(TOKEN[:60]),
        "".join(f"%{ord(character):02X}" for character in TOKEN),
        quote(TOKEN),
        base64.b64encode(f"user:{TOKEN}".encode()).decode(),
        base64.b64encode(f"users:{TOKEN}".encode()).decode(),
        base64.urlsafe_b64encode(f"a user:{TOKEN}".encode()).decode(),
        base64.urlsafe_b64decode(SIGNATURE + "==").hex(),
    ],
)
def test_a_piece_is_found(leak: str) -> None:
    evidence = Evidence()
    evidence.add("innocent", "nothing of it")
    evidence.add("guilty", f"some text, {leak}, and more")
    assert evidence.places_of(TOKEN) == {"guilty"}


def test_a_signature_is_found_as_bytes_and_in_files(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    raw = base64.urlsafe_b64decode(SIGNATURE + "==")
    (tmp_path / "below" / "some.db").write_bytes(b"\0\1" + raw + b"\2")
    (tmp_path / SIGNATURE).touch()
    evidence = Evidence()
    evidence.add_files(tmp_path)
    assert evidence.places_of(TOKEN) == {"file below/some.db", "names of files"}


def test_who_a_token_is_for_is_no_leak_of_it() -> None:
    evidence = Evidence()
    evidence.add("database", '{"sub": "eve", "tenant_id": "acme", "permissions": ["request:*"]}')
    evidence.add("log", "eve of acme has refreshed")
    evidence.add("other token", token("mallory").rpartition(".")[2])
    assert not evidence.places_of(TOKEN)
