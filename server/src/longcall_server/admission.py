# SPDX-License-Identifier: Apache-2.0
"""The checks of a `request` that need no store (PROTOCOL 4.4.2)."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import MISSING, JsonValue, ValidationError

from longcall_server import answers
from longcall_server.answers import Refused
from longcall_server.auth import Principal
from longcall_server.core.codec import first_problem, json_pointer, json_text
from longcall_server.core.codes import ErrorCode
from longcall_server.core.messages import Limits, RequestMessage
from longcall_server.handlers.registry import Handlers, Registration
from longcall_server.stores.base import RequestKey


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that passed them all."""

    key: RequestKey
    message: RequestMessage
    registration: Registration
    payload: str
    """JSON text."""
    payload_bytes: int
    params: object
    """The payload as the handler takes it."""
    received_at: int
    deadline_ms: int | None
    """The earlier of the request's and the action's (PROTOCOL 5.7.2)."""


def is_quick(registration: Registration, message: RequestMessage) -> bool:
    """Whether a request may run without being stored (PROTOCOL 10.6, 10.10)."""
    return (
        not registration.durable
        and message.delay_ms is MISSING
        and (message.resend is MISSING or not message.resend)
    )


def payload_of(message: RequestMessage) -> JsonValue:
    """The payload; an absent one is null (PROTOCOL 4.4.3)."""
    return None if message.payload is MISSING else message.payload


def admit(
    handlers: Handlers,
    principal: Principal,
    message: RequestMessage,
    received_at: int,
    limits: Limits,
) -> Admitted | Refused:
    """Checks permission, action, sizes, fields and payload, in this order."""
    action = message.action
    if not principal.may_request(action):
        forbidden = "No permission of the token allows this action."
        return answers.refused(ErrorCode.FORBIDDEN, forbidden)
    registration = handlers.get(action)
    if registration is None:
        return answers.refused(ErrorCode.UNKNOWN_ACTION, f"There is no action {action}.")
    if message.callback_url is not MISSING:
        # PROTOCOL 8.8.1: the list of allowed hosts is empty.
        return answers.invalid("/callback_url", "This server calls no hosts back.")
    deadline_ms = None if message.deadline_ms is MISSING else message.deadline_ms
    delay_ms = 0 if message.delay_ms is MISSING else message.delay_ms
    if deadline_ms is not None and deadline_ms <= delay_ms:
        # PROTOCOL 10.22
        return answers.invalid("/deadline_ms", "The deadline must be later than the delay.")
    payload = payload_of(message)
    text = json_text(payload)
    payload_bytes = len(text.encode())
    too_large = _too_large("payload", payload_bytes, limits.max_payload_bytes) or _too_large(
        "metadata", _metadata_bytes(message), limits.max_metadata_bytes
    )
    if too_large is not None:
        return too_large
    try:
        params = registration.validate(text)
    except ValidationError as error:
        problem = first_problem(error)
        pointer = json_pointer(problem["loc"], payload)
        return answers.invalid(f"/payload{pointer}", problem["msg"])
    deadlines = [limit for limit in (deadline_ms, registration.deadline_ms) if limit is not None]
    return Admitted(
        key=RequestKey(principal.owner, message.id),
        message=message,
        registration=registration,
        payload=text,
        payload_bytes=payload_bytes,
        params=params,
        received_at=received_at,
        deadline_ms=min(deadlines, default=None),
    )


def _too_large(what: str, size: int, limit: int | MISSING) -> Refused | None:
    """The refusal of a part that is over its limit (PROTOCOL 6.5.6)."""
    if limit is MISSING or size <= limit:
        return None
    return answers.refused(
        ErrorCode.PAYLOAD_TOO_LARGE,
        f"The {what} has {size} bytes, more than {limit}.",
        details={"limit": limit, "size": size},
    )


def _metadata_bytes(message: RequestMessage) -> int:
    if message.metadata is MISSING:
        return 0
    return sum(len(key.encode()) + len(value.encode()) for key, value in message.metadata.items())
