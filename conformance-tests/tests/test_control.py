# SPDX-License-Identifier: Apache-2.0
"""A rejection counts when the same thing without the defect is accepted, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from longcall_conformance.referee.connection import Ended, RefereeConnection
from longcall_conformance.referee.scripted_server import ScriptedServer
from longcall_conformance.runner.case import Case, parse_case
from longcall_conformance.runner.play import Play, StepFailed
from longcall_conformance.runner.under_test import ServerUnderTest

NAME = "server/group/name"
Serve = Callable[[RefereeConnection, str | None], Awaitable[None]]


def document() -> dict[str, Any]:
    return {
        "case": NAME,
        "title": "A hello with a bad token is refused",
        "level": "MUST",
        "requires": ["4.2.5"],
        "variants": {"bad": ["no", "", None]},
        "defect": {"token": "${bad}"},
        "control": {"token": "yes"},
        "steps": [
            {"raw.connect": {"as": "c"}},
            {"raw.send": {"on": "c", "message": {"type": "hello", "token": "${token}"}}},
            {"raw.expect_end": {"on": "c", "code": 4401, "accepted": {"type": "welcome"}}},
        ],
        "then": [{"check": "nothing-said", "frames": {"type": "welcome", "count": 0}}],
    }


async def right(connection: RefereeConnection, token: str | None) -> None:
    if token == "yes":
        connection.send({"type": "welcome"})
    else:
        await connection.drop("close_4401")


async def refuses_everybody(connection: RefereeConnection, token: str | None) -> None:
    await connection.drop("close_4401")


async def refuses_everybody_with_words(connection: RefereeConnection, token: str | None) -> None:
    connection.send({"type": "error"})
    await connection.drop("close_4401")


async def takes_everybody(connection: RefereeConnection, token: str | None) -> None:
    connection.send({"type": "welcome"})


async def says_nothing(connection: RefereeConnection, token: str | None) -> None:
    return


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[ServerUnderTest]:
    """A server that answers each hello in its own way."""
    server = ScriptedServer([])
    await server.start()

    async def run() -> None:
        while True:
            connection = await server.accept()
            await serve(connection, (await connection.receive()).get("token"))

    task = asyncio.create_task(run())
    try:
        yield cast(ServerUnderTest, server)  # its url is all that is asked for
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.stop()


async def outcome(case: Case, serve: Serve) -> str:
    async with served(serve) as server:
        play = Play(case, None, server, "secret")
        try:
            await play.run()
        except (StepFailed, Ended) as error:
            return str(error)
        finally:
            await play.end()
    return "as it should be"


def the_case_and_its_control(seconds: int = 20) -> tuple[Case, Case]:
    first, _, _, control = parse_case({**document(), "seconds": seconds}, NAME)
    return first, control


def test_variants_share_the_controls_that_are_alike() -> None:
    cases = list(parse_case(document(), NAME))
    assert [case.control for case in cases] == [False, False, False, True]
    assert [step.verb for step in cases[3].steps] == ["raw.connect", "raw.send", "raw.expect_end"]
    assert cases[3].steps[1].arguments["message"]["token"] == "yes"
    assert cases[3].label.endswith("(control)")


@pytest.mark.parametrize(
    ("serve", "of_case", "of_control"),
    [
        (right, "as it should be", "as it should be"),
        (refuses_everybody, "as it should be", "it was rejected all the same"),
        (refuses_everybody_with_words, "got {'type': 'error'}", "was not accepted"),
        (takes_everybody, "not the end of the connection", "as it should be"),
        (says_nothing, "nothing came in 1 s", "without the defect: nothing came in 1 s"),
    ],
)
async def test_each_server_gets_what_it_deserves(
    serve: Serve, of_case: str, of_control: str
) -> None:
    case, control = the_case_and_its_control(seconds=1)
    assert of_case in await outcome(case, serve)
    assert of_control in await outcome(control, serve)


async def test_what_another_connection_is_told_shows_that_it_was_accepted() -> None:
    made = document()
    made["steps"][2:] = [
        {"raw.connect": {"as": "d"}},
        {"raw.send": {"on": "d", "message": {"type": "hello", "token": "${token}"}}},
        {
            "raw.expect_end": {
                "on": "c",
                "code": 4401,
                "accepted": {"type": "welcome", "on": "d"},
            }
        },
    ]
    told: list[RefereeConnection] = []

    async def tells_the_second(connection: RefereeConnection, token: str | None) -> None:
        told.append(connection)
        if token != "yes":
            await connection.drop("close_4401")
        elif len(told) == 2:
            connection.send({"type": "welcome"})

    *_, control = parse_case(made, NAME)
    assert await outcome(control, tells_the_second) == "as it should be"
    told.clear()
    case = next(parse_case(made, NAME))
    assert await outcome(case, tells_the_second) == "as it should be"


async def closes_with_another_code(connection: RefereeConnection, token: str | None) -> None:
    await connection.drop("close_4403")


async def test_what_a_case_permits_to_others_does_not_pass() -> None:
    made = document()
    made["steps"][2]["raw.expect_end"]["or"] = [{"code": 4403, "to": "page"}]
    case = next(parse_case(made, NAME))
    assert "ended with 4403, not 4401" in await outcome(case, closes_with_another_code)


async def test_what_a_case_permits_passes_and_is_told() -> None:
    made = document()
    made["steps"][2]["raw.expect_end"]["or"] = [{"code": 4400}, {"code": 4403}]
    case = next(parse_case(made, NAME))
    async with served(closes_with_another_code) as server:
        play = Play(case, None, server, "secret")
        try:
            await play.run()
        finally:
            await play.end()
    assert play.alternatives == ['ended with 4403, not 4401; permitted by {"code": 4403}']
