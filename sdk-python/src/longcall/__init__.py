# SPDX-License-Identifier: Apache-2.0
"""longcall: call it, watch its progress, get the result, whatever happens in between.

::

    async with longcall.connect("wss://example.com", token=fetch_token) as client:
        report = await client.call("generate_report", {"format": "csv"}, on_progress=print)

`connect` opens the client for asyncio, `longcall.sync.connect` the one for everything else.
`Client.call` returns a result, `Client.submit` and `Client.attach` a `RequestHandle` that is
iterated for `Status`, `Progress` and `Chunk`. Whatever is raised is a `LongcallError`; the tree
of errors stands in `longcall.errors`. `longcall.testing` is a server for tests, `longcall.otel`
spans, and `longcall --help` the command.
"""

__version__ = "0.1.0"

from . import sync as sync
from .actions import Action
from .asyncio import Callback, Client, EventIterator, MapIterator, RequestHandle, connect
from .codec import canonical_json
from .codes import CloseCode, ErrorCode, RequestStatus
from .errors import (
    ConfigurationError,
    ConflictError,
    ConnectionClosed,
    Detached,
    DownloadError,
    ErrorOrigin,
    ForbiddenError,
    Forked,
    HandlerError,
    InternalError,
    InvalidResult,
    LongcallError,
    NotFoundError,
    PayloadTooLargeError,
    QueueFull,
    RateLimitedError,
    RequestCancelledError,
    RequestError,
    RequestTimeoutError,
    ResourceExhaustedError,
    UnauthorizedError,
    UnavailableError,
    UnknownActionError,
    UnsupportedTypeError,
    ValidationError,
    WaitTimeout,
)
from .events import (
    Announcement,
    Chunk,
    ClientState,
    Download,
    ErrorInfo,
    Event,
    MapItem,
    Progress,
    RequestSummary,
    Snapshot,
    Status,
)
from .options import (
    Duration,
    EndTrace,
    Options,
    ReaderLimits,
    RequestOptions,
    SharedOptions,
    Token,
    TokenReason,
    Trace,
)
from .states import ConnectionState

__all__ = [
    "Action",
    "Announcement",
    "Callback",
    "Chunk",
    "Client",
    "ClientState",
    "CloseCode",
    "ConfigurationError",
    "ConflictError",
    "ConnectionClosed",
    "ConnectionState",
    "Detached",
    "Download",
    "DownloadError",
    "Duration",
    "EndTrace",
    "ErrorCode",
    "ErrorInfo",
    "ErrorOrigin",
    "Event",
    "EventIterator",
    "ForbiddenError",
    "Forked",
    "HandlerError",
    "InternalError",
    "InvalidResult",
    "LongcallError",
    "MapItem",
    "MapIterator",
    "NotFoundError",
    "Options",
    "PayloadTooLargeError",
    "Progress",
    "QueueFull",
    "RateLimitedError",
    "ReaderLimits",
    "RequestCancelledError",
    "RequestError",
    "RequestHandle",
    "RequestOptions",
    "RequestStatus",
    "RequestSummary",
    "RequestTimeoutError",
    "ResourceExhaustedError",
    "SharedOptions",
    "Snapshot",
    "Status",
    "Token",
    "TokenReason",
    "Trace",
    "UnauthorizedError",
    "UnavailableError",
    "UnknownActionError",
    "UnsupportedTypeError",
    "ValidationError",
    "WaitTimeout",
    "__version__",
    "canonical_json",
    "connect",
]
