# SPDX-License-Identifier: Apache-2.0
"""A span of each request, and its trace context on the wire."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import longcall
from longcall import HandlerError, Options, QueueFull, connect
from longcall.errors import request_error
from longcall.otel import tracing
from longcall.testing import InMemoryRequest, InMemoryServer

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Spans:
    """Spans as they end."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def options(self) -> Options:
        return Options(trace=tracing(self.provider))

    def all(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def one(self) -> ReadableSpan:
        (span,) = self.all()
        return span


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.provider.shutdown()


@pytest.fixture
def server(longcall_server: InMemoryServer) -> InMemoryServer:
    longcall_server.on("echo", lambda request: request.payload, durable=False)
    longcall_server.on("report")
    return longcall_server


def sent(server: InMemoryServer) -> list[Any]:
    return [m.get("traceparent") for m in server.received if m["type"] == "request"]


def parent_of(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@pytest.mark.complaint(24)
async def test_each_request_has_a_span_and_sends_its_trace_context(
    server: InMemoryServer, spans: Spans
) -> None:
    tracer = spans.provider.get_tracer("application")
    async with connect(server.url, "token", options=spans.options) as client:
        with tracer.start_as_current_span("outer") as outer:
            await client.call("echo", 1, id="one")
        await client.call("echo", 2)
    first, of_outer, second = spans.all()
    assert first.parent == outer.get_span_context()
    assert second.parent is None
    assert of_outer.name == "outer"
    assert (first.name, first.kind) == ("longcall echo", SpanKind.CLIENT)
    assert first.attributes == {
        "rpc.system": "longcall",
        "rpc.method": "echo",
        "longcall.request_id": "one",
    }
    assert first.status.status_code is StatusCode.UNSET
    assert sent(server) == [parent_of(first), parent_of(second)]


@pytest.mark.complaint(24)
async def test_trace_context_is_the_same_when_a_request_is_sent_again(
    server: InMemoryServer, spans: Spans
) -> None:
    async with connect(server.url, "token", options=spans.options) as client:
        await client.ready()
        server.stall()
        call = asyncio.create_task(client.call("report"))
        await server.clock.advance(36)
        server.resume()
        await server.clock.advance(30)
        request = await server.next()
        request.complete()
        await call
    assert request.message["resend"] is True
    assert request.message["traceparent"] == parent_of(spans.one())


@pytest.mark.complaint(24)
async def test_explicit_trace_context_is_sent_with_and_without_the_extra(
    server: InMemoryServer, spans: Spans
) -> None:
    for options in (None, spans.options):
        async with connect(server.url, "token", options=options) as client:
            await client.call("echo", traceparent=GIVEN)
            await client.submit("report", traceparent=GIVEN)
    assert sent(server) == [GIVEN] * 4
    async with connect(server.url, "token") as client:
        await client.call("echo")
    assert sent(server)[4:] == [None]


async def test_span_of_a_failure_says_why(server: InMemoryServer, spans: Spans) -> None:
    @server.on("broken")
    def broken(request: InMemoryRequest) -> object:
        request.chunk(1)
        raise request_error("HANDLER_ERROR", "no rows", details={"code": "NO_ROWS"})

    async with connect(server.url, "token", options=spans.options) as client:
        with pytest.raises(HandlerError):
            await client.call("broken")
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "HANDLER_ERROR"
    assert span.attributes["longcall.attempt"] == 1


async def test_span_lasts_until_the_end_or_until_nobody_waits(
    server: InMemoryServer, spans: Spans
) -> None:
    async with connect(server.url, "token", options=spans.options) as client:
        handle = await client.submit("report")
        request = await server.next()
        request.chunk(1)
        async with asyncio.timeout(5):
            async for _ in handle:
                assert not spans.all()
                break
        span = spans.one()
        assert span.attributes is not None
        assert span.attributes["longcall.detached"] is True
        assert span.status.status_code is StatusCode.UNSET
        request.complete("end")
        assert await handle == "end"
        kept = await client.submit("report")
        assert len(spans.all()) == 1
        (await server.next()).complete()
        await kept
        assert len(spans.all()) == 2


async def test_what_is_refused_before_sending_has_a_span_as_well(
    server: InMemoryServer, spans: Spans
) -> None:
    server.refuse()
    options = Options(trace=tracing(spans.provider), max_queue=1)
    async with connect(server.url, "token", options=options) as client:
        waiting = asyncio.create_task(client.call("echo"))
        await server.clock.advance(1)
        with pytest.raises(QueueFull):
            await client.call("echo")
        span = spans.one()
        assert span.attributes is not None
        assert span.attributes["error.type"] == "QueueFull"
    with pytest.raises(longcall.ConnectionClosed):
        await waiting
    assert len(spans.all()) == 2


async def test_tracing_that_fails_harms_nothing(
    server: InMemoryServer, caplog: pytest.LogCaptureFixture
) -> None:
    def ends_badly(error: object) -> None:
        raise RuntimeError("a bug at the end")

    def begins_badly(action: str, request_id: str) -> Any:
        raise RuntimeError("a bug at the beginning")

    for trace in (begins_badly, lambda action, request_id: (None, ends_badly)):
        async with connect(server.url, "token", options=Options(trace=trace)) as client:
            assert await client.call("echo", 1) == 1
    assert "a bug at the beginning" in caplog.text
    assert "a bug at the end" in caplog.text


@pytest.mark.complaint(24)
def test_sync_client_has_the_trace_of_the_thread_that_calls(
    server: InMemoryServer, spans: Spans
) -> None:
    tracer = spans.provider.get_tracer("application")
    client = longcall.sync.connect(server.url, "token", options=spans.options)
    with client, tracer.start_as_current_span("outer") as outer:
        client.call("echo", 1)
    span = spans.all()[0]
    assert span.parent == outer.get_span_context()
    assert sent(server) == [parent_of(span)]


def test_module_says_what_it_needs_where_that_is_missing() -> None:
    program = (
        "import sys; sys.modules['opentelemetry.trace'] = None\n"
        "import longcall\n"
        "try: import longcall.otel\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install 'longcall[otel]'" in run.stdout
