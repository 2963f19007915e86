# SPDX-License-Identifier: Apache-2.0
"""A run says what it did, keeps what it found, and tells how to play that again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from fuzz import command, generated
from fuzz.command import main, play_corpus, replay_files, run_all


def _dislikes_pings(data: bytes) -> None:
    assert b"ping" not in data, "it is a ping"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A target that fails for some inputs, with a corpus of its own."""

    def check_of(target: str) -> Callable[[bytes], None]:
        return _dislikes_pings

    monkeypatch.setattr(command, "check_of", check_of)
    monkeypatch.setattr(generated, "check_of", check_of)
    monkeypatch.setattr(command, "corpus_files", lambda target: sorted(tmp_path.iterdir()))
    monkeypatch.setattr(command, "replay_line", lambda target, file: f"replay {file.name}")
    (tmp_path / "good").write_bytes(b"pong")
    return tmp_path


def test_an_input_that_fails_is_told_with_the_line_that_plays_it_again(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_all(["codec"], [], 1, 7, 1) == 0
    (broken / "bad").write_bytes(b"a ping")
    assert run_all(["codec"], [], 1, 7, 1) == 1
    said = capsys.readouterr().out
    assert "SEED=7" in said
    assert "FAILED" in said
    assert "it is a ping" in said
    assert said.endswith("again: replay bad\n")
    assert play_corpus("codec").crash == broken / "bad"


def test_playing_again_says_what_is_wrong_with_each(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (broken / "bad").write_bytes(b"a ping")
    assert replay_files("codec", [broken / "good"]) == 0
    assert replay_files("codec", [broken / "bad", broken / "good"]) == 1
    said = capsys.readouterr().out
    assert "bad:\nTraceback" in said
    assert f"{broken / 'good'}: nothing is wrong" in said


def test_hypothesis_stores_the_smallest_input_that_fails(
    broken: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generated", "codec", "--seconds", "60", "--seed", "1", "--crashes", str(broken)]
    monkeypatch.setattr(sys, "argv", words)
    generated.main()
    (crash,) = broken.glob("generated-*")
    assert b"ping" in crash.read_bytes()
    assert len(crash.read_bytes()) < 40
    assert str(crash) in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris cannot be installed here")
def test_both_fuzzers_run_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--targets", "codec", "--seconds", "1", "--seed", "5"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    inputs = {row[1]: int(row[2]) for row in rows if row[:1] == ["codec"]}
    assert inputs.keys() == {"corpus", "atheris", "hypothesis"}
    assert all(inputs.values())
