# SPDX-License-Identifier: Apache-2.0
"""The options of a client. Each states its default where it is declared."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import SystemRandom
from typing import Literal, TypeAlias, TypedDict
from urllib.parse import urlsplit, urlunsplit

from .errors import ConfigurationError, LongcallError

TokenReason = Literal["connect", "refresh", "unauthorized"]
"""Why a token is asked for; `unauthorized`: the server refused the one before."""

Token: TypeAlias = str | Callable[[TokenReason], str | Awaitable[str]] | None
"""A token, or what gives a fresh one each time, or None where it travels otherwise."""

EndTrace: TypeAlias = Callable[[LongcallError | None], None]
"""Told how a request ended for this client: None: with its result; `Detached`: nobody waits."""

Trace: TypeAlias = Callable[[str, str], tuple[str | None, EndTrace]]
"""Told of each request, its action and its id; says the `traceparent` to send, and what is told of
the end."""

Duration: TypeAlias = float | timedelta
"""Seconds, or a `timedelta`."""


class SharedOptions(TypedDict, total=False):
    """What may be said of requests beside their action and payload."""

    deadline: Duration | None
    """When the *server* ends the request with TIMEOUT, after its acceptance; over its delay and
    retries. PROTOCOL 5.7."""
    delay: Duration | None
    """The earliest start after acceptance; None: at once."""
    priority: int | None
    """0 to 9, higher first; the server's default is 5."""
    metadata: Mapping[str, str] | None
    """Notes for the handler: at most 32 keys of 64, values of 512 characters."""
    callback_url: str | None
    """Where a signed webhook goes at the end."""
    traceparent: str | None
    """W3C trace context of whoever asks."""


class RequestOptions(SharedOptions, total=False):
    """What may be said of one request beside its action and payload; for `call` and `submit`."""

    id: str | None
    """The id and idempotency key; None: a fresh UUIDv7. 1 to 128 of `A-Za-z0-9._:-`."""


def boot_clock() -> float:
    """Returns seconds that never go back and, where the system can, count sleep as well.

    A laptop that slept for a week must know that its unanswered request is old. PROTOCOL 10.31.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """How much one iterator may hold for an application that does not take it. PROTOCOL 6.4.4."""

    max_events: int = 4096
    """Events that wait in one iterator."""
    max_bytes: int = 4 * 1024 * 1024
    """Bytes of messages that wait in one iterator; one event always fits."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a client behaves. Durations are in seconds."""

    open_timeout: float = 10.0
    """How long opening a socket, and then the wait for `welcome`, may take each."""
    close_timeout: float = 1.0
    """How long the closing handshake may take before the socket is cut."""
    backoff_initial: float = 0.5
    """The first bound of the random wait before a reconnect."""
    backoff_maximum: float = 20.0
    """The greatest bound."""
    max_queue: int = 1000
    """Requests that may wait to be sent: offline, or held back by the server's limits."""
    max_queue_bytes: int = 64 * 1024 * 1024
    """Bytes of requests that may wait to be sent."""
    reader: ReaderLimits = ReaderLimits()
    """What one iterator of events may hold."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """More headers for the HTTP upgrade and for downloads, for proxies for instance."""
    compression: bool = False
    """Whether to offer permessage-deflate. Sizes count what is decompressed."""
    user_agent: str = ""
    """Name of the application, put before this SDK's own in `hello.client.name`."""
    trace: Trace | None = None
    """Traces each request; `longcall.otel.tracing()` does it by OpenTelemetry."""
    random: Callable[[], float] = SystemRandom().random
    """A number from 0 to 1, for the waits."""
    clock: Callable[[], float] = boot_clock
    """Seconds that never go back."""

    def __post_init__(self) -> None:
        positive = {
            "open_timeout": self.open_timeout,
            "close_timeout": self.close_timeout,
            "backoff_initial": self.backoff_initial,
            "backoff_maximum": self.backoff_maximum,
            "max_queue": self.max_queue,
            "max_queue_bytes": self.max_queue_bytes,
            "reader.max_events": self.reader.max_events,
            "reader.max_bytes": self.reader.max_bytes,
        }
        for name, value in positive.items():
            if not value > 0:
                raise ConfigurationError(f"{name} must be greater than 0, not {value!r}")


CONNECT_PATH = "/v1/connect"


def checked_url(url: str) -> str:
    """Returns the WebSocket address that `url` means; `/v1/connect` is put where a path lacks.

    Raises:
        ConfigurationError: It is no address of a WebSocket.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.fragment:
        raise ConfigurationError(f"not an address like wss://host{CONNECT_PATH}: {url!r}")
    return urlunsplit(parts._replace(path=CONNECT_PATH)) if parts.path in ("", "/") else url


def http_base(url: str) -> str:
    """Returns the HTTP address beside a WebSocket address: `wss://host/v1/connect`: `https://host`.

    What a proxy put before `/v1/connect` stays.
    """
    parts = urlsplit(url)
    prefix = parts.path.removesuffix(CONNECT_PATH) if parts.path.endswith(CONNECT_PATH) else ""
    return f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}{prefix}"
