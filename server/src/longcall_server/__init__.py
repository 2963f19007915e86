# SPDX-License-Identifier: Apache-2.0
"""The reference server of the longcall protocol.

A handler author needs what is named here and `longcall_server.testing`.
"""

from longcall_server.handlers import (
    UNSET,
    AttemptFenced,
    Backoff,
    HandlerError,
    HandlerFile,
    Handlers,
    JsonValue,
    LogLimitReached,
    NotJson,
    PayloadTooLarge,
    Registration,
    RegistrationError,
    RequestCancelled,
    RequestContext,
    ServerInfo,
    SyncHandlerFile,
    SyncRequestContext,
)

__version__ = "0.1.0"

__all__ = [
    "UNSET",
    "AttemptFenced",
    "Backoff",
    "HandlerError",
    "HandlerFile",
    "Handlers",
    "JsonValue",
    "LogLimitReached",
    "NotJson",
    "PayloadTooLarge",
    "Registration",
    "RegistrationError",
    "RequestCancelled",
    "RequestContext",
    "ServerInfo",
    "SyncHandlerFile",
    "SyncRequestContext",
    "__version__",
]
