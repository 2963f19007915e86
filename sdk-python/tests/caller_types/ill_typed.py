# SPDX-License-Identifier: Apache-2.0
"""What a caller may get wrong. Each line that says `ignore` is an error for mypy and for pyright,
and both fail when it is none any more. At run time, each of these functions raises; but for the
`unnoticed`: what they do wrong is seen when the callback is called, or never.
"""

from __future__ import annotations

from caller_types.well_typed import Params, Point, Report, mirror, ping, report, total

from longcall import Action, Chunk, Client, Progress


async def payload_of_another_action(client: Client) -> None:
    await client.call(report, Point(1, 2))  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def no_payload(client: Client) -> None:
    await client.call(report)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def payload_for_an_action_that_takes_none(client: Client) -> None:
    await client.call(ping, "hello")  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def items_of_another_type(client: Client) -> None:
    await client.submit(total, ["one"])  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def seconds_as_text(client: Client) -> None:
    await client.call(mirror, Point(1, 2), deadline="60")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def option_that_does_not_exist(client: Client) -> None:
    await client.call("report", retries=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def id_that_is_none(client: Client) -> None:
    client.attach(7, report)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def name_that_is_none(client: Client) -> None:
    Action[Params, Report](None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def unnoticed_callback_of_another_event(client: Client) -> None:
    def on_chunk(progress: Progress) -> None: ...

    await client.call(report, Params(pages=1), on_chunk=on_chunk)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def unnoticed_chunk_of_another_type(client: Client) -> None:
    def on_chunk(chunk: Chunk[Point]) -> None: ...

    await client.call(report, Params(pages=1), on_chunk=on_chunk)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def unnoticed_result_taken_for_another(client: Client) -> None:
    made: Point = await client.call(report, Params(pages=1))  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    print(made)
