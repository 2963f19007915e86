# SPDX-License-Identifier: Apache-2.0
"""Calls as an application writes them: mypy and pyright find nothing in it, and it runs."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_type

from pydantic import BaseModel, JsonValue
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from longcall import Action, Chunk, Client, Event, Progress, RequestHandle, Status


class Params(BaseModel):
    """Goes in as a model."""

    pages: int


class Report(BaseModel):
    """Comes out as a model."""

    rows: int
    made_at: datetime


@dataclass
class Point:
    """Goes in and comes out as a dataclass."""

    x: float
    y: float


class Row(TypedDict):
    """Comes meanwhile."""

    page: int


report = Action[Params, Report, Row]("report")
mirror = Action[Point, Point]("mirror")
total = Action[list[int], int | None]("total")
ping = Action[None, str]("ping")
anything = Action("anything")


async def show(progress: Progress) -> None:
    """Is a callback that waits."""


async def calls(client: Client) -> list[object]:
    """Calls them all, by type and by name."""
    rows: list[int] = []

    def on_chunk(chunk: Chunk[Row]) -> None:
        rows.append(chunk.data["page"])

    made = await client.call(
        report,
        Params(pages=2),
        on_chunk=on_chunk,
        on_progress=show,
        on_status=lambda status: rows.append(status.attempt),
        timeout=10,
        cancel_on_exit=True,
        deadline=timedelta(minutes=5),
        metadata={"who": "me"},
    )
    assert_type(made, Report)
    point = await client.call(mirror, Point(1, 2))
    assert_type(point, Point)
    summed = await client.call(total, [1, 2])
    assert_type(summed, int | None)
    pong = await client.call(ping)
    assert_type(pong, str)
    assert_type(await client.call(ping, None), str)
    any_json = await client.call(anything, {"a": [1, None]})
    assert_type(any_json, JsonValue)
    assert_type(await client.call(anything), JsonValue)
    by_name = await client.call("anything", Params(pages=1), priority=9)
    assert_type(by_name, JsonValue)
    return [made, point, summed, pong, any_json, by_name, rows]


async def handles(client: Client) -> list[object]:
    """Submits, attaches, iterates and waits."""
    handle = await client.submit(report, Params(pages=1), id="typed")
    assert_type(handle, RequestHandle[Report, Row])
    seen: list[object] = []
    async for event in handle:
        assert_type(event, Status | Progress | Chunk[Row])
        match event:
            case Chunk(data=data):
                assert_type(data, Row)
                seen.append(data["page"])
            case Progress(percentage=percentage):
                assert_type(percentage, float | None)
            case Status(status=status):
                assert_type(status, str)
    assert_type(await handle, Report)
    again = client.attach(handle.id, report)
    async with aclosing(aiter(again)) as events:
        first: Event[Row] = await anext(events)
        seen.append(type(first).__name__)
    seen.append((await again.result()).rows)
    untyped = client.attach(handle.id)
    assert_type(untyped, RequestHandle)
    assert_type(await untyped, JsonValue)
    return seen
