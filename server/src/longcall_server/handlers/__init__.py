# SPDX-License-Identifier: Apache-2.0
"""What a handler author sees: the registry, the context of a running request, the errors."""

from longcall_server.handlers.attempt import Attempt, AttemptWriter, Call, FileDraft, ServerInfo
from longcall_server.handlers.context import HandlerFile, RequestContext
from longcall_server.handlers.encoding import UNSET, JsonValue
from longcall_server.handlers.errors import (
    AttemptFenced,
    HandlerError,
    LogLimitReached,
    NotJson,
    PayloadTooLarge,
    RegistrationError,
    RequestCancelled,
)
from longcall_server.handlers.policy import Backoff
from longcall_server.handlers.registry import Handlers, Registration
from longcall_server.handlers.sync_context import SyncHandlerFile, SyncRequestContext

__all__ = [
    "UNSET",
    "Attempt",
    "AttemptFenced",
    "AttemptWriter",
    "Backoff",
    "Call",
    "FileDraft",
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
]
