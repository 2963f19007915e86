# SPDX-License-Identifier: Apache-2.0
"""What the README says of the command is what the command does. Its Python is run elsewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from longcall.cli.arguments import parser
from longcall.cli.exits import Exit
from longcall.cli.settings import read_file

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
COMMAND = README.split("## The command")[1].split("\n## ")[0]


def test_every_command_that_it_shows_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.json").write_text("{}")
    Path("photos.jsonl").write_text("1\n")
    lines = re.findall(r"^    longcall (.+?)(?:\s+#.*)?$", COMMAND, re.MULTILINE)
    shown = {parser().parse_args(shlex.split(line.replace("…", ""))).command for line in lines}
    assert shown == {"call", "submit", "watch", "result", "list", "cancel", "token"}


def test_its_configuration_is_read_as_it_stands(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", COMMAND, re.DOTALL | re.MULTILINE)
    path = tmp_path / "config.toml"
    path.write_text(block)
    file = read_file(path, must_exist=True)
    profile = file.profiles[file.default_profile or ""]
    assert (profile.url, profile.connect_timeout) == ("wss://example.com", 10)
    assert profile.token_command is not None


def test_its_exit_codes_are_all_that_there_are() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \| (.+) \|$", COMMAND, re.MULTILINE)
    told = {int(code) for codes, _ in rows for code in codes.split(", ")}
    assert told == set(Exit)


def test_it_names_every_outcome() -> None:
    table = COMMAND.split("| `type` |")[1]
    assert [one.outcome for one in Exit if not re.search(rf"`?\b{one.outcome}\b\"?`", table)] == []
