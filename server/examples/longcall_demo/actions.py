# SPDX-License-Identifier: Apache-2.0
"""What this application answers: one registration an action."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, Field

from longcall_demo.bulk.handler import bulk_operation
from longcall_demo.process.handler import process_data
from longcall_demo.report.handler import generate_report
from longcall_demo.text.handler import stream_text
from longcall_server import Handlers, JsonValue, RequestContext

handlers = Handlers()

handlers.register(
    "generate_report",
    attempts=3,
    deadline=timedelta(minutes=30),
    executor="process",  # computes: it would take time from those who only wait
    description="Aggregates a CSV of dated records; streams rows, writes a CSV, PDF or XLSX file",
)(generate_report)

handlers.register(
    "process_data",
    attempts=3,
    deadline=timedelta(minutes=30),
    executor="process",  # computes: it would take time from those who only wait
    description="Describes, cleans, aggregates, judges or transforms the records of a CSV",
)(process_data)

handlers.register(
    "bulk_operation",
    attempts=3,
    deadline=timedelta(minutes=30),
    executor="process",  # computes: it would take time from those who only wait
    description="Hashes, converts or validates many files, item by item",
)(bulk_operation)

handlers.register(
    "stream_text",
    attempts=5,
    description="Streams a long text word by word; each word stands once it is out",
)(stream_text)


@handlers.register("echo", durable=False, description="Gives the payload back, at once")
async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Any JSON value, given back exactly; null when there was no payload."""
    return payload


@handlers.register("echo_async", description="Gives the payload back as a durable request")
async def echo_async(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """As `echo`, through the store: acknowledged, queued, run by a worker, completed."""
    return payload


class Health(BaseModel):
    """That a handler could run says that the server takes, dispatches and answers requests."""

    status: Literal["ok"]
    version: str = Field(description="version of the server")
    store: str = Field(description="name of the store engine, such as sqlite")
    uptime_ms: int = Field(ge=0, description="milliseconds since the server started")


@handlers.register("health", durable=False, description="Which server this is, and since when")
async def health(ctx: RequestContext) -> Health:
    """The server's own word; a wall clock set back reads as an uptime of 0."""
    uptime = datetime.now(UTC) - ctx.server.started_at
    return Health(
        status="ok",
        version=ctx.server.version,
        store=ctx.server.store,
        uptime_ms=max(0, uptime // timedelta(milliseconds=1)),
    )
