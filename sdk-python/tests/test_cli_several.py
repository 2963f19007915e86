# SPDX-License-Identifier: Apache-2.0
"""The command with several requests at once: what is printed of which; one exit code for all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import command
from peer import Peer, Talk

from longcall.cli import main
from longcall.cli.exits import Exit, exit_of_all
from longcall.testing.messages import (
    acknowledgment,
    complete,
    failure,
    processing,
    progress,
    snapshot,
)

pytestmark = pytest.mark.usefixtures("command_environment")


async def attached(talk: Talk, *ids: str) -> None:
    """Takes the attaches of these ids, and begins their logs."""
    asked = {(await talk.expect("attach"))["request_id"] for _ in ids}
    assert asked == set(ids)
    for one in ids:
        await talk.send(snapshot(one, last_seq=2), acknowledgment(one), processing(one, 2))


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def test_each_result_is_a_line_that_says_whose_it_is(
    peer: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = command(peer, "watch", "a", "b", "a", "--json")
    talk = await peer.welcome()
    await attached(talk, "a", "b")
    await talk.send(complete("b", 3, "second"), complete("a", 3, "first"))
    assert await watch == Exit.COMPLETED
    lines = {line["id"]: (line["index"], line["result"]) for line in lines_of(capsys)}
    assert lines == {"a": (0, "first"), "b": (1, "second")}


async def test_one_that_fails_ends_no_other(peer: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    watch = command(peer, "watch", "a", "b")
    talk = await peer.welcome()
    await attached(talk, "a", "b")
    await talk.send(failure("CANCELLED", request_id="a", seq=3))
    await talk.send(progress("b", 1, 1, percentage=50, message="half"), complete("b", 3, [1]))
    assert await watch == Exit.CANCELLED
    out, err = capsys.readouterr()
    assert json.loads(out) == [1]
    assert "longcall: a: CANCELLED" in err
    assert "b: 50 % half" in err
    assert "b: completed" in err


@pytest.mark.parametrize(
    ("exits", "expected"),
    [
        ([], Exit.COMPLETED),
        ([Exit.COMPLETED, Exit.COMPLETED], Exit.COMPLETED),
        ([Exit.COMPLETED, Exit.CANCELLED], Exit.CANCELLED),
        ([Exit.TIMEOUT, Exit.TIMEOUT, Exit.COMPLETED], Exit.TIMEOUT),
        ([Exit.TIMEOUT, Exit.CANCELLED], Exit.FAILED),
        ([Exit.UNREACHABLE, Exit.FAILED], Exit.FAILED),
    ],
)
def test_exit_code_for_all_is_that_of_one_kind_of_failure_or_1(
    exits: list[Exit], expected: Exit
) -> None:
    assert exit_of_all(exits) is expected


async def test_a_payload_each_is_a_request_each_and_so_many_at_once(
    peer: Peer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = tmp_path / "payloads.jsonl"
    lines.write_text('{"n":2}\n\n{"n":3}\n')
    call = command(
        peer, "call", "square", '{"n":1}', "--lines", str(lines), "--parallel", "2", "--json"
    )
    talk = await peer.welcome()
    first = await talk.expect("request", payload={"n": 1}, action="square")
    second = await talk.expect("request", payload={"n": 2})
    assert first["id"] != second["id"]
    # The third one waits for a place, not only for its turn.
    await talk.send({"type": "response", "request_id": second["id"], "result": 4})
    third = await talk.expect("request", payload={"n": 3})
    for request, result in ((third, 9), (first, 1)):
        await talk.send({"type": "response", "request_id": request["id"], "result": result})
    assert await call == Exit.COMPLETED
    results = {line["index"]: line["result"] for line in lines_of(capsys)}
    assert results == {0: 1, 1: 4, 2: 9}


def test_no_lines_are_no_requests(tmp_path: Path) -> None:
    lines = tmp_path / "payloads.jsonl"
    lines.write_text("\n \n")
    arguments = ["call", "square", "--lines", str(lines), "--url", "ws://127.0.0.1:1"]
    assert main(arguments) == Exit.COMPLETED


async def test_cancel_of_several_tells_of_each(
    peer: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    cancel = command(peer, "cancel", "a", "b", "--json")
    talk = await peer.welcome()
    for _ in range(4):
        message = await talk.take()
        if message["type"] == "attach":
            await talk.send(snapshot(message["request_id"]))
        elif message["request_id"] == "a":
            await talk.send(snapshot("a", "cancel", cancel_requested=True))
        else:
            await talk.send(failure("NOT_FOUND", request_id="b", reply_to="cancel"))
    assert await cancel == Exit.FAILED
    a, b = sorted(lines_of(capsys), key=lambda line: str(line["id"]))
    assert a == {"type": "cancel_requested", "id": "a", "index": 0}
    assert (b["id"], b["outcome"], b["error"]["code"]) == ("b", "failed", "NOT_FOUND")


async def test_what_ends_the_connection_says_how_to_come_back_to_what_goes_on(
    peer: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = command(peer, "watch", "a")
    talk = await peer.welcome()
    await attached(talk, "a")
    await talk.close(4403)
    assert await watch == Exit.UNREACHABLE
    err = capsys.readouterr().err
    assert "close code 4403" in err
    assert f"come back: longcall watch a --url {peer.url}" in err
