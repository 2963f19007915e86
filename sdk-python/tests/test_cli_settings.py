# SPDX-License-Identifier: Apache-2.0
"""Which server and which token the command uses: flags, then the environment, then the file."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pytest
from command_line import command
from peer import Peer

from longcall import ConfigurationError
from longcall.cli.arguments import parser
from longcall.cli.exits import Exit
from longcall.cli.settings import Settings, ask, config_path, resolve

FILE = """
default_profile = "home"

[profiles.home]
url = "ws://home"
token = "of-home"

[profiles.work]
url = "wss://work/v1/connect"
token_file = "work.jwt"
connect_timeout = "3s"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "longcall" / "config.toml"
    path.parent.mkdir()
    path.write_text(FILE)
    path.chmod(0o600)
    (path.parent / "work.jwt").write_text("of-work\n")
    return path


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


def settings(path: Path, /, *flags: str, **environment: str) -> Settings:
    """What `longcall list FLAGS` uses in an environment with this configuration."""
    options = parser().parse_args(["list", *flags])
    named = {f"LONGCALL_{name.upper()}": value for name, value in environment.items()}
    return resolve(options, {"XDG_CONFIG_HOME": str(path.parent.parent), **named})


@pytest.mark.parametrize(
    ("flags", "environment", "url", "token"),
    [
        ("", {}, "ws://home/v1/connect", "of-home"),
        ("", {"token": "t"}, "ws://home/v1/connect", "t"),
        ("", {"url": "ws://env", "token": "t"}, "ws://env/v1/connect", "t"),
        ("", {"profile": "work"}, "wss://work/v1/connect", "of-work"),
        ("--profile work", {}, "wss://work/v1/connect", "of-work"),
        ("--profile work", {"profile": "home"}, "wss://work/v1/connect", "of-work"),
        # A profile that is named on the command line is a flag.
        ("--profile work", {"url": "ws://env", "token": "t"}, "wss://work/v1/connect", "of-work"),
        ("--url ws://flag", {"url": "ws://env", "token": "t"}, "ws://flag/v1/connect", "t"),
        # The same address, written otherwise.
        ("--url ws://home/v1/connect", {}, "ws://home/v1/connect", "of-home"),
    ],
)
async def test_flags_go_before_the_environment_and_that_before_the_file(
    config: Path, flags: str, environment: dict[str, str], url: str, token: str
) -> None:
    found = settings(config, *flags.split(), **environment)
    assert (found.url, await ask(found.token)) == (url, token)
    assert found.warnings == []


async def test_token_of_a_profile_is_never_sent_to_another_address(config: Path) -> None:
    found = settings(config, "--url", "ws://elsewhere")
    assert found.token is None
    assert found.warnings == [
        "the token of profile home is for ws://home; it is not sent to ws://elsewhere/v1/connect"
    ]
    given = settings(config, "--profile", "home", "--url", "ws://elsewhere", token="t")
    assert await ask(given.token) == "t"


def test_connect_timeout_has_the_same_order(config: Path) -> None:
    assert settings(config).connect_timeout == 10
    assert settings(config, "--profile", "work").connect_timeout == 3
    flags = ("--profile", "work", "--connect-timeout", "500ms")
    assert settings(config, *flags).connect_timeout == 0.5


async def test_file_of_a_token_is_read_each_time(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    found = settings(config, "--token-file", str(path), token="t")
    path.write_text("second\n")
    assert await ask(found.token) == "second"


async def test_command_of_a_token_is_run_each_time(config: Path, tmp_path: Path) -> None:
    count = tmp_path / "count"
    program = f"p = {str(count)!r}; open(p, 'a').write('x'); print('token', len(open(p).read()))"
    words = f"[{sys.executable!r}, '-c', '''{program}''']"
    write(config, f"[profiles.only]\nurl = 'ws://a'\ntoken_command = {words}")
    found = settings(config)
    assert [await ask(found.token), await ask(found.token)] == ["token 1", "token 2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("['no-such-program']", "token_command no-such-program: No such file"),
        (f"[{sys.executable!r}, '-c', 'raise SystemExit(3)']", "ended with 3"),
    ],
)
async def test_command_of_a_token_that_fails_is_told(
    config: Path, words: str, message: str
) -> None:
    write(config, f"[profiles.only]\nurl = 'ws://a'\ntoken_command = {words}")
    with pytest.raises(ConfigurationError, match=message):
        await ask(settings(config).token)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("url = 'ws://a'", "url: no such setting; there are default_profile, profiles"),
        ("[profiles.a]\nulr = 'x'", "profiles.a.ulr: no such setting; there are url, token,"),
        ("[profiles.a]\nurl = 1", "profiles.a.url: Input should be a valid string"),
        ("[profiles.a]\nconnect_timeout = '1w'", "connect_timeout: '1w' is no duration"),
        ("[profiles.a]\ntoken = 'x'\ntoken_file = 'y'", "profiles.a: only one of token"),
        ("[profiles.a]\ntoken_command = []", "profiles.a: token_command names no program"),
        ("default_profile = 'b'\n[profiles.a]", "there is no profile 'b'; there are: a"),
        ("[profiles", "not TOML: "),
        ("[profiles.a]\nurl = 'https://a'", "not an address like wss://host"),
        ("[profiles.a]\nurl = 'ws://a'\ntoken_file = 'none'", "none: No such file"),
        ("[profiles.a]", "which server?"),
    ],
)
def test_wrong_file_is_told_with_its_place(config: Path, text: str, message: str) -> None:
    config.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        settings(config)
    assert message in str(caught.value)


def test_wrong_file_never_shows_the_token(config: Path) -> None:
    config.write_text("[profiles.a]\ntoken = ['hidden-secret']")
    with pytest.raises(ConfigurationError) as caught:
        settings(config)
    assert "profiles.a.token" in str(caught.value)
    assert "hidden-secret" not in str(caught.value)


def test_named_file_must_be_there(config: Path) -> None:
    config.rename(config.with_name("other.toml"))
    with pytest.raises(ConfigurationError, match="which server"):
        settings(config)
    with pytest.raises(ConfigurationError, match="there is no such file"):
        settings(config, "--config", str(config))
    other = str(config.with_name("other.toml"))
    assert settings(config, config=other).url == "ws://home/v1/connect"
    assert settings(config, "--config", other, config="nowhere").url == "ws://home/v1/connect"


def test_place_of_the_file_is_what_xdg_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home-of-somebody")
    options = argparse.Namespace(config=None)
    default = Path("/home-of-somebody/.config/longcall/config.toml")
    assert config_path(options, {}) == default
    assert config_path(options, {"XDG_CONFIG_HOME": "relative"}) == default
    assert config_path(options, {"XDG_CONFIG_HOME": "/x"}) == Path("/x/longcall/config.toml")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_token_that_others_can_read_is_warned_of(config: Path, mode: int) -> None:
    config.chmod(mode)
    assert settings(config).warnings == [
        f"{config} holds a token and can be read by others: chmod 600 {config}"
    ]
    assert settings(config, "--profile", "work").warnings == []  # its token is elsewhere


@pytest.mark.usefixtures("command_environment")
async def test_warning_and_failure_of_a_token_are_shown(
    config: Path, peer: Peer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LONGCALL_TOKEN")
    write(config, f"[profiles.a]\nurl = '{peer.url}'\ntoken = 't'\n", 0o644)
    listing = command(peer, "list", "--config", str(config), "--json")
    talk = await peer.welcome()
    asked = await talk.expect("list")
    await talk.send({"type": "listing", "id": asked["id"], "requests": []})
    assert await listing == Exit.COMPLETED
    assert peer.tokens == ["t"]
    assert "longcall: warning: " in capsys.readouterr().err
    write(config, f"[profiles.a]\nurl = '{peer.url}'\ntoken_command = ['no-such-program']\n")
    listing = command(peer, "list", "--config", str(config), "--connect-timeout", "300ms")
    assert await listing == Exit.UNREACHABLE
    assert "token_command no-such-program: No such file" in capsys.readouterr().err


@pytest.mark.usefixtures("command_environment")
async def test_who_gave_no_token_is_told_where_one_could_be(
    peer: Peer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LONGCALL_TOKEN")
    listing = command(peer, "list")
    for _ in range(2):
        talk = await peer.accept()
        await talk.expect("hello")
        await talk.close(4401)
    assert await listing == Exit.UNREACHABLE
    assert "no token was given: LONGCALL_TOKEN" in capsys.readouterr().err
