# SPDX-License-Identifier: Apache-2.0
"""Against programs that play server and client; the real ones run in `make demo`."""

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import demo

REPORT = b"%PDF-1.7 a report"
DIGEST = hashlib.sha256(REPORT).hexdigest()

SERVER = """
import json, os, pathlib, signal, sys
if sys.argv[1] == "token":
    assert len(os.environ["LONGCALL_JWT_SECRET"]) >= 32
    print("a-token")
    sys.exit()
pathlib.Path({root!r}, "pid").write_text(str(os.getpid()))
print("the server speaks", flush=True)
if {dies}:
    sys.exit(3)
signal.signal(signal.SIGTERM, lambda *_: sys.exit({ends_with}))
data = pathlib.Path(sys.argv[sys.argv.index("--data-dir") + 1])
data.mkdir()
ready = pathlib.Path(sys.argv[sys.argv.index("--ready-file") + 1])
ready.with_suffix(".new").write_text(json.dumps({{"event": "ready", "url": "ws://127.0.0.1:1/v1/connect"}}))
ready.with_suffix(".new").rename(ready)
signal.pause()
"""
CLIENT = """
import json, os, pathlib, sys
assert os.environ["LONGCALL_TOKEN"] == "a-token"
assert sys.argv[1:3] == ["call", "generate_report"] and "ws://127.0.0.1:1/v1/connect" in sys.argv
folder = pathlib.Path(sys.argv[sys.argv.index("--download") + 1])
(folder / "report.pdf").write_bytes({report!r})
print(json.dumps({{"file": "report.pdf", "sha256": {digest!r}}}))
sys.exit({ends_with})
"""
Play = Callable[..., int]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Runs the demonstration with programs that behave as told."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)

    def write(name: str, text: str) -> None:
        (programs / name).write_text(f"#!{sys.executable}\n{text}")
        (programs / name).chmod(0o755)

    def run(
        *, dies: bool = False, server_ends: int = 0, client_ends: int = 0, digest: str = DIGEST
    ) -> int:
        write(
            "longcall-server", SERVER.format(root=str(tmp_path), dies=dies, ends_with=server_ends)
        )
        write("longcall", CLIENT.format(report=REPORT, digest=digest, ends_with=client_ends))
        return demo.main()

    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(demo, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(demo, "ensure", lambda profile: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return run


def is_running(root: Path) -> bool:
    try:
        os.kill(int((root / "pid").read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def test_the_last_line_names_the_report_and_its_digest(
    play: Play, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert play() == 0

    word, path, kind, digest = capfd.readouterr().out.splitlines()[-1].split(" ")
    assert (word, kind, digest) == ("report", "sha256", DIGEST)
    assert (tmp_path / path).read_bytes() == REPORT
    assert not is_running(tmp_path)


def test_a_report_that_is_not_what_the_server_said_fails(
    play: Play, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert play(digest="0" * 64) == 1

    told = capfd.readouterr()
    assert "but the result says 000" in told.err
    assert "report" not in told.out
    assert not is_running(tmp_path)


def test_a_server_that_dies_early_is_shown_with_its_last_words(
    play: Play, capfd: pytest.CaptureFixture[str]
) -> None:
    assert play(dies=True) == 1

    told = capfd.readouterr().err
    assert "the server ended with 3" in told
    assert "the server speaks" in told


def test_a_client_that_fails_is_named_and_the_server_is_stopped(
    play: Play, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert play(client_ends=4) == 1

    assert "`longcall call` ended with 4" in capfd.readouterr().err
    assert not is_running(tmp_path)


def test_a_server_that_does_not_end_in_peace_fails(
    play: Play, capfd: pytest.CaptureFixture[str]
) -> None:
    assert play(server_ends=5) == 1
    assert "the server ended with 5" in capfd.readouterr().err
