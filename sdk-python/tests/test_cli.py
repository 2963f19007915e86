# SPDX-License-Identifier: Apache-2.0
"""The command `longcall`: what it prints where, and how it exits."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from command_line import begun, command
from peer import Peer
from test_download import FileServer

from longcall.cli import main
from longcall.cli.exits import Exit
from longcall.testing.messages import (
    acknowledgment,
    chunk,
    complete,
    failure,
    processing,
    progress,
    snapshot,
    summary,
)

pytestmark = pytest.mark.usefixtures("command_environment")


async def test_call_prints_the_result_on_stdout_and_progress_on_stderr(
    peer: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    call = command(peer, "call", "report", '{"a":1}', "--id", "job", "--metadata", "k=v")
    talk = await peer.welcome()
    request = await talk.expect("request", id="job", action="report", payload={"a": 1})
    assert request["metadata"] == {"k": "v"}
    assert peer.tokens == ["secret"]
    await talk.send(acknowledgment("job"), processing("job", 2))
    await talk.send(progress("job", 1, 1, percentage=40.4, message="[half]"))
    await talk.send(chunk("job", 3), complete("job", 4, {"ä": [1]}))
    assert await call == Exit.COMPLETED
    out, err = capsys.readouterr()
    assert json.loads(out) == {"ä": [1]}
    assert err.splitlines() == ["request job", "queued", "processing, attempt 1", "40 % [half]"]


async def test_call_in_json_prints_one_line_and_nothing_else(
    peer: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    call = command(peer, "call", "report", "--json", "--deadline", "2.5")
    talk = await peer.welcome()
    request = await talk.expect("request", payload=None, deadline_ms=2500)
    await talk.send({"type": "response", "request_id": request["id"], "result": None})
    assert await call == Exit.COMPLETED
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "type": "result",
        "id": request["id"],
        "index": 0,
        "outcome": "completed",
        "result": None,
    }
    assert err == ""


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        ("HANDLER_ERROR", {"code": "NO_ROWS"}, Exit.FAILED),
        ("CANCELLED", {}, Exit.CANCELLED),
        ("TIMEOUT", {}, Exit.TIMEOUT),
    ],
)
async def test_exit_code_is_by_the_outcome(
    peer: Peer, capsys: pytest.CaptureFixture[str], code: str, details: Any, expected: Exit
) -> None:
    call = command(peer, "call", "report", "--json")
    talk, rid = await begun(peer)
    await talk.send(failure(code, request_id=rid, seq=3, details=details))
    assert await call == expected
    line = json.loads(capsys.readouterr().out)
    assert (line["type"], line["outcome"]) == ("error", expected.outcome)
    assert (line["error"]["code"], line["error"]["details"]) == (code, details)


async def test_timeout_says_how_to_come_back(
    peer: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    call = command(peer, "call", "report", "--id", "job", "--timeout", "0.2")
    talk, _ = await begun(peer)
    await talk.expect("detach")
    assert await call == Exit.TIMEOUT
    assert "longcall watch job" in capsys.readouterr().err


async def test_watch_prints_chunks_as_they_come(
    peer: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = command(peer, "watch", "job", "--chunks", "--json")
    talk = await peer.welcome()
    await talk.expect("attach", request_id="job", after_seq=0)
    await talk.send(snapshot("job", last_seq=4), acknowledgment("job"), processing("job", 2))
    await talk.send(chunk("job", 3, ["a"]), complete("job", 4, 1))
    assert await watch == Exit.COMPLETED
    lines = capsys.readouterr().out.splitlines()
    start = {"id": "job", "index": 0}
    queued, begun, piece, end = map(json.loads, lines)
    assert (queued["type"], queued["status"]) == ("status", "queued")
    assert (begun["status"], begun["chunks_kept_to"]) == ("processing", 0)
    assert piece == {"type": "chunk", **start, "seq": 3, "attempt": 1, "data": ["a"]}
    assert end == {"type": "result", **start, "outcome": "completed", "result": 1}


async def test_submit_prints_the_id_and_result_waits_for_it(
    peer: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    submit = command(peer, "submit", "report", "--priority", "7", "--delay", "1")
    talk = await peer.welcome()
    request = await talk.expect("request", priority=7, delay_ms=1000)
    rid = request["id"]
    await talk.send(acknowledgment(rid))
    assert await submit == Exit.COMPLETED
    assert capsys.readouterr().out == f"{rid}\n"
    result = command(peer, "result", rid)
    talk = await peer.welcome()
    await talk.expect("attach", request_id=rid)
    await talk.send(snapshot(rid, last_seq=2), acknowledgment(rid), complete(rid, 2, "done"))
    assert await result == Exit.COMPLETED
    assert capsys.readouterr().out == '"done"\n'


async def test_list_prints_a_line_for_each_request(
    peer: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = command(peer, "list", "--status", "queued", "--limit", "2")
    talk = await peer.welcome()
    asked = await talk.expect("list", status=["queued"], limit=2)
    requests = [summary("b"), summary("a", status="queued"), summary("never shown")]
    requests.pop()
    await talk.send(
        {"type": "listing", "id": asked["id"], "requests": requests, "next_cursor": "more"}
    )
    assert await listing == Exit.COMPLETED
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["b", "a"]
    assert [line.split("\t")[2] for line in lines] == ["processing", "queued"]


async def test_cancel_tells_that_the_server_has_taken_it(
    peer: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    cancel = command(peer, "cancel", "job", "--reason", "enough")
    talk = await peer.welcome()
    kinds = {(await talk.take())["type"] for _ in range(2)}
    assert kinds == {"attach", "cancel"}
    await talk.send(snapshot("job"), snapshot("job", "cancel", cancel_requested=True))
    assert await cancel == Exit.COMPLETED
    assert "job" in capsys.readouterr().err


async def test_download_puts_the_file_and_tells_its_digest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = b"a,b\n" * 100
    async with FileServer(body) as peer:
        call = command(peer, "call", "report", "--download", str(tmp_path))
        talk, rid = await begun(peer)
        await talk.send(complete(rid, 3, {"file": "report.csv", "rows": 100}))
        assert await call == Exit.COMPLETED
    out, err = capsys.readouterr()
    assert json.loads(out)["rows"] == 100
    assert (tmp_path / "report.csv").read_bytes() == body
    assert f"sha256 {hashlib.sha256(body).hexdigest()}" in err
    assert str(tmp_path / "report.csv") in err


async def test_result_without_a_file_cannot_be_downloaded(peer: Peer, tmp_path: Path) -> None:
    call = command(peer, "call", "report", "--download", str(tmp_path))
    talk, rid = await begun(peer)
    await talk.send(complete(rid, 3, {"rows": 100}))
    assert await call == Exit.FAILED


def test_server_that_is_not_there_exits_5(
    unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"ws://127.0.0.1:{unused_tcp_port}"
    assert main(["list", "--url", url, "--connect-timeout", "0.2"]) == Exit.UNREACHABLE
    assert "no connection to" in capsys.readouterr().err


async def test_refused_token_exits_5(peer: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    call = command(peer, "call", "x")
    for _ in range(2):
        talk = await peer.accept()
        await talk.expect("hello")
        await talk.close(4401)
    assert await call == Exit.UNREACHABLE
    assert "4401" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["call"],
        ["call", "x", "{"],
        ["call", "x", "@no-such-file"],
        ["call", "x", "--deadline", "0"],
        ["call", "x", "--metadata", "no-value"],
        ["call", "x", "--metadata", "=no-key"],
        ["call", "x", "--priority", "10"],
        ["call", "x", "--parallel", "0"],
        ["call", "x", "--lines", "no-such-file"],
        ["call", "x", "--download", "no-such-folder"],
        ["list", "--limit", "0"],
        ["list", "--lim", "1"],
        ["fly"],
    ],
)
def test_wrong_command_line_exits_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--url", "ws://127.0.0.1:1"])
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["call", "x", "1", "2", "--id", "one"], "--id is the id of one request"),
        (["watch", "a", "--events"], "--events needs --json"),
    ],
)
def test_words_that_do_not_go_together_exit_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main([*arguments, "--url", "ws://127.0.0.1:1"]) == Exit.USAGE
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["1e400"], "(at /payload)"),
        (["1", "--id", "bad id"], "(at /id)"),
        (["1", "--metadata", f"k={'x' * 600}"], "(at /metadata/k)"),
    ],
)
async def test_what_the_protocol_cannot_carry_is_not_sent_and_exits_2(
    peer: Peer, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    call = command(peer, "call", "report", *arguments)
    talk = await peer.welcome()
    assert await call == Exit.USAGE
    assert await talk.closed() == 1000
    assert words in capsys.readouterr().err


def test_wrong_address_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--url", "https://example.com"]) == Exit.USAGE
    assert "not an address like wss://host" in capsys.readouterr().err
    assert main(["list"]) == Exit.USAGE
    assert "which server?" in capsys.readouterr().err


def test_help_lists_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(str(code.value) in out for code in Exit)


def test_without_the_extra_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "rich" else there(name)
    )
    assert main(["list"]) == Exit.USAGE
    assert "needs rich: pip install 'longcall[cli]'" in capsys.readouterr().err
