# SPDX-License-Identifier: Apache-2.0
"""`longcall token decode`: claims and expiry in words, never the signature, nothing verified."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from longcall import ConfigurationError
from longcall.cli import main
from longcall.cli.exits import Exit
from longcall.cli.tokens import decode, validity, words_for

pytestmark = pytest.mark.usefixtures("command_environment")

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(**claims: Any) -> str:
    return f"{part({'alg': 'HS256', 'kid': 'k1'})}.{part(claims)}.c2lnbmF0dXJl"


def test_claims_are_printed_and_the_signature_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    text = token(sub="alice", tenant_id="acme", exp=4_000_000_000)
    assert main(["token", "decode", text]) == Exit.COMPLETED
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "header": {"alg": "HS256", "kid": "k1"},
        "claims": {"sub": "alice", "tenant_id": "acme", "exp": 4_000_000_000},
    }
    assert "c2lnbmF0dXJl" not in out + err
    assert "expires in" in err
    assert "not verified" in err


def test_in_json_it_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "decode", token(sub="a"), "--json"]) == Exit.COMPLETED
    out, err = capsys.readouterr()
    line = json.loads(out)
    assert (line["type"], line["claims"], line["verified"]) == ("token", {"sub": "a"}, False)
    assert "c2lnbmF0dXJl" not in out
    assert err == ""


def test_it_comes_from_a_file_or_is_the_configured_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text(f"Bearer {token(sub='of the file')}\n")
    assert main(["token", "decode", f"@{path}"]) == Exit.COMPLETED
    monkeypatch.setenv("LONGCALL_TOKEN", token(sub="of the environment"))
    assert main(["token", "decode"]) == Exit.COMPLETED
    assert main(["token", "decode", "--token-file", str(path)]) == Exit.COMPLETED
    out = capsys.readouterr().out
    assert [out.count("of the file"), out.count("of the environment")] == [2, 1]


def test_where_there_is_none_it_says_where_one_could_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LONGCALL_TOKEN")
    assert main(["token", "decode"]) == Exit.USAGE
    assert "no token is configured" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("secret", "it has 1 part between dots, not 3"),
        ("a.b.c.d", "it has 4 parts"),
        ("a.b.c.d.e", "encrypted"),
        ("se+cret.x.y", "its header is not base64url"),
        (f"{part({})}.sec ret.y", "its claims is not base64url"),
        (f"{part(b'secret')}.{part({})}.y", "its header is not JSON"),
        (f"{part({})}.{part(['secret'])}.y", "its claims is no JSON object"),
    ],
)
def test_what_is_no_token_is_told_and_not_quoted(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        decode(text)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": NOW.timestamp() + 11520}, "expires in 3 hours 12 minutes ("),
        ({"exp": NOW.timestamp() - 90061}, "expired 1 day 1 hour ago ("),
        ({"exp": NOW.timestamp() + 60, "nbf": NOW.timestamp() + 30}, "not valid before 30 seconds"),
        ({}, "never expires: longcall servers refuse a token without exp"),
        ({"exp": "soon"}, "exp is no time"),
        ({"exp": 1e300}, "exp is no time"),
    ],
)
def test_validity_in_words(claims: dict[str, Any], words: str) -> None:
    assert validity(decode(token(**claims)), NOW).startswith(words)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, "less than a second"),
        (1, "1 second"),
        (60, "1 minute"),
        (3601, "1 hour"),
        (3660, "1 hour 1 minute"),
        (200_000, "2 days 7 hours"),
    ],
)
def test_spans_in_two_units(seconds: float, words: str) -> None:
    assert words_for(timedelta(seconds=seconds)) == words
