# SPDX-License-Identifier: Apache-2.0
"""Completion in the shells themselves: a person types, and presses Tab."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from peer import Peer
from terminal import Terminal, terminal

from longcall import __version__
from longcall.cli import main
from longcall.cli.arguments import SHELLS
from longcall.cli.exits import Exit
from longcall.testing.messages import summary

pytestmark = pytest.mark.usefixtures("command_environment")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with a `longcall` that is the one under test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "longcall"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m longcall.cli "$@"\n')
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == Exit.COMPLETED
    assert "longcall" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_can_read_its_script(shell: str, path: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    environment = {**os.environ, "PATH": path}
    words = ["longcall", "completion", shell]
    script = subprocess.run(words, env=environment, capture_output=True, check=True)
    read = subprocess.run([shell, "-n"], input=script.stdout, capture_output=True, check=False)
    assert (read.returncode, read.stderr) == (0, b"")


async def completed(shell: Terminal, typed: str, *, expected: str) -> None:
    """Types words and Tab, until the shell shows what it made of them; takes them back."""
    shell.type(typed.encode() + b"\t")
    await shell.until(expected.encode())
    shell.type(b"\x15")  # Ctrl-U


@pytest.mark.slow
async def test_bash_completes_commands_options_values_and_ids(
    path: str, peer: Peer, tmp_path: Path
) -> None:
    config = tmp_path / "config-home" / "longcall" / "config.toml"
    os.makedirs(config.parent)
    with open(config, "w", encoding="utf-8") as file:  # noqa: ASYNC230 - a line
        file.write(f"[profiles.production]\nurl = '{peer.url}'\n")
    environment = {"PATH": path, "PS1": "$ ", "LONGCALL_URL": peer.url, "HISTFILE": ""}
    words = ("bash", "--norc", "--noprofile", "-i")
    async with terminal(*words, columns=200, environment=environment) as shell:
        shell.type(b'bind "set enable-bracketed-paste off"; bind "set bell-style none"\n')
        shell.type(b'eval "$(longcall completion bash)"; echo rea""dy\n')
        await shell.until(b"ready")
        await completed(shell, "longcall wat", expected="longcall watch ")
        await completed(shell, "longcall watch x --prof", expected="watch x --profile ")
        await completed(shell, "longcall list --profile pro", expected="--profile production ")
        await completed(shell, "longcall list --status proc", expected="--status processing ")
        await completed(shell, "longcall completion z", expected="completion zsh ")
        shell.type(b"longcall watch 01a2\t")
        talk = await peer.welcome()
        asked = await talk.expect("list")
        requests = [summary("01a213c4-one"), summary("other")]
        await talk.send({"type": "listing", "id": asked["id"], "requests": requests})
        await shell.until(b"longcall watch 01a213c4-one ")
        shell.type(b"\x15exit\n")
        await shell.rest()


@pytest.mark.slow
async def test_completion_says_nothing_where_no_server_answers(
    path: str, unused_tcp_port: int
) -> None:
    environment = {"PATH": path, "PS1": "$ ", "LONGCALL_URL": f"ws://127.0.0.1:{unused_tcp_port}"}
    words = ("bash", "--norc", "--noprofile", "-i")
    async with terminal(*words, columns=200, environment=environment) as shell:
        shell.type(b'eval "$(longcall completion bash)"; echo rea""dy\n')
        await shell.until(b"ready")
        shell.type(b"longcall result 01a2\t")
        shell.type(b'\x15echo st""ill here\n')
        text = await shell.until(b"still here")
        shell.type(b"exit\n")
        await shell.rest()
    assert b"Traceback" not in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "ready"),
    [
        (
            ("zsh", "-f", "-i"),
            'autoload -U compinit; compinit -u; eval "$(longcall completion zsh)"',
        ),
        (("fish", "--no-config", "-i"), "longcall completion fish | source"),
    ],
)
async def test_other_shells_complete_commands_as_well(
    words: tuple[str, ...], ready: str, path: str
) -> None:
    if shutil.which(words[0]) is None:
        pytest.skip(f"there is no {words[0]} here")
    async with terminal(*words, columns=200, environment={"PATH": path}) as shell:
        shell.type(f'{ready}; echo rea""dy\n'.encode())
        await shell.until(b"ready")
        shell.type(b"longcall --vers\t\n")  # half of it would be an error
        await shell.until(f"longcall {__version__}".encode())
        shell.type(b"exit\n")
        await shell.rest()
