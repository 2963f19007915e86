# SPDX-License-Identifier: Apache-2.0
"""An OpenTelemetry span of each request, whose trace goes on in the handler; `longcall[otel]`.

::

    from longcall.otel import tracing

    async with connect(url, token, options=Options(trace=tracing())) as client: ...

A span is named `longcall` and the action, is of kind client, and is a child of the current one of
whoever submits. It ends when the request has ended for this client: with its result, its error, or
when nobody here waits for it any more, which is no error. Its attributes: `rpc.system`
(`"longcall"`), `rpc.method` (the action), `longcall.request_id`, `longcall.attempt` (of an error,
the newest attempt that was seen), `longcall.detached` (true, where nobody waited for the end) and
`error.type` (the error code, or the class of an error without one).
"""

from __future__ import annotations

from typing import Final

try:
    from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider, get_tracer
    from opentelemetry.trace.propagation import set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "longcall.otel needs OpenTelemetry: pip install 'longcall[otel]'", name=missing.name
    ) from None

from . import __version__
from .errors import Detached, LongcallError, RequestError
from .options import EndTrace, Trace

__all__ = ["tracing"]

SCOPE: Final = "longcall"
_propagator = TraceContextTextMapPropagator()


def tracing(provider: TracerProvider | None = None) -> Trace:
    """Returns what `Options.trace` takes: a span for each request, and its `traceparent`.

    Args:
        provider: Makes the spans; None: the global one.
    """
    tracer = get_tracer(SCOPE, __version__, tracer_provider=provider)

    def begin(action: str, request_id: str) -> tuple[str | None, EndTrace]:
        span = tracer.start_span(
            f"longcall {action}",
            kind=SpanKind.CLIENT,
            attributes={
                "rpc.system": "longcall",
                "rpc.method": action,
                "longcall.request_id": request_id,
            },
        )
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, set_span_in_context(span))

        def end(error: LongcallError | None) -> None:
            if isinstance(error, Detached):
                span.set_attribute("longcall.detached", True)
            elif error is not None:
                kind = error.code if isinstance(error, RequestError) else type(error).__name__
                span.set_attribute("error.type", kind)
                if isinstance(error, RequestError):
                    span.set_attribute("longcall.attempt", error.attempt)
                span.set_status(Status(StatusCode.ERROR, str(error)))
            span.end()

        return carrier.get("traceparent"), end

    return begin
