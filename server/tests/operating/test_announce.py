# SPDX-License-Identifier: Apache-2.0
"""`longcall-server announce` beside running servers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from operator_harness import DataFolder, Said, without_environment
from wire import Wire, connected, settings, token

from longcall_server import Handlers
from longcall_server.server import Server


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> DataFolder:
    without_environment(monkeypatch)
    return DataFolder(tmp_path / "data", capsys)


async def say(folder: DataFolder, *arguments: str) -> Said:
    return await asyncio.to_thread(folder.command, "announce", *arguments)


async def heard(wire: Wire, last: str) -> list[Any]:
    messages = await wire.until(lambda message: message.get("message") == last)
    assert {message["type"] for message in messages} == {"announcement"}
    return [message["message"] for message in messages]


@pytest.mark.clause("4.7.4", "8.10.2")
async def test_it_is_heard_at_every_server_of_the_folder_by_those_whom_it_is_for(
    folder: DataFolder,
) -> None:
    given = settings(store="sqlite", data_dir=folder.path)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(Server(given, Handlers()))
        two = await stack.enter_async_context(Server(given, Handlers(), claims=False))
        bob = token("bob")
        people = [(one.url, None), (two.url, None), (two.url, bob)]
        wires = [await stack.enter_async_context(connected(*person)) for person in people]
        second = wires[1].welcome["connection_id"]
        said = [
            await say(folder, "acme", "--tenant", "acme", "--details", '{"at": 1e2}'),
            await say(folder, "alice", "--tenant", "acme", "--sub", "alice"),
            await say(folder, "the second", "--connection", second),
            await say(folder, "others", "--tenant", "other"),
            await say(folder, "end", "--all"),
        ]
        for one_said in said:
            assert one_said.code == 0, one_said.err
            assert one_said.out == "on its way to the clients of 2 server processes\n"
        assert await heard(wires[0], "end") == ["acme", "alice", "end"]
        assert await heard(wires[1], "end") == ["acme", "alice", "the second", "end"]
        assert await heard(wires[2], "end") == ["acme", "end"]


async def test_where_no_server_runs_nobody_hears_it_and_the_command_says_so(
    folder: DataFolder,
) -> None:
    missing = await say(folder, "hello", "--all")
    assert missing.code == 1
    assert "there is no database" in missing.err
    async with Server(settings(store="sqlite", data_dir=folder.path), Handlers()):
        pass
    said = await say(folder, "hello", "--all")
    assert said.code == 1
    assert "nobody has heard it" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--sub", "ann"),
        ("--all", "--tenant", "acme"),
        ("--tenant", "acme", "--connection", "c"),
        ("--connection", "c", "--sub", "ann"),
        ("--all", "--sub", "ann"),
    ],
)
def test_who_hears_it_is_said_in_one_way(folder: DataFolder, arguments: tuple[str, ...]) -> None:
    said = folder.command("announce", "hello", *arguments)
    assert said.code == 2
    assert "say who hears it: --all, --tenant" in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("hello", "--details", "{"), 2, "--details: it is not JSON"),
        (("hello", "--details", "NaN"), 1, "not JSON"),
        (("hello", "--details", "9007199254740993"), 1, "must travel as a string"),
        (("hello", "--details", '1,"to":{"tenant_id":"acme"}'), 2, "--details: it is not JSON"),
        (("",), 1, "at least 1 character"),
        (("\udcff",), 1, "lone surrogate"),
        (("x" * 16_384,), 1, "at most 16384 bytes"),
    ],
)
def test_what_cannot_be_said_is_refused_as_over_http(
    folder: DataFolder, arguments: tuple[str, ...], code: int, problem: str
) -> None:
    said = folder.command("announce", "--all", *arguments)
    assert (said.code, problem in said.err) == (code, True), said.err
