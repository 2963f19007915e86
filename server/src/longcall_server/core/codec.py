# SPDX-License-Identifier: Apache-2.0
"""Text of a client's message to its model (PROTOCOL 2, 4).

The way of nearly all messages is short: a few searches in the bytes, then pydantic parses and
validates in one go. Everything that smells or fails takes the slow way, which finds out what is
wrong, where, and which message the refusal must name (PROTOCOL 10.2, 10.46).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import MISSING, BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, to_json

from longcall_server.core import ijson
from longcall_server.core.codes import ErrorCode
from longcall_server.core.errors import Answered, JsonDefect, MessageError
from longcall_server.core.messages import (
    ClientMessage,
    CorrelationId,
    Limits,
    MessageType,
    RequestId,
)

_CLIENT_MESSAGE: Final[TypeAdapter[ClientMessage]] = TypeAdapter(ClientMessage)
_MESSAGE_TYPE: Final[TypeAdapter[str]] = TypeAdapter(MessageType)
_REQUEST_ID: Final[TypeAdapter[str]] = TypeAdapter(RequestId)
_LIST_ID: Final[TypeAdapter[str]] = TypeAdapter(CorrelationId)


class _Member(BaseModel):
    """One member of a message; a parser that looks for it keeps nothing else."""

    value: str


class _Type(_Member):
    value: MessageType = Field(alias="type")


class _Id(_Member):
    value: RequestId = Field(alias="id")


class _ListId(_Member):
    value: CorrelationId = Field(alias="id")


class _RequestId(_Member):
    value: RequestId = Field(alias="request_id")


@dataclass(frozen=True, slots=True)
class MessageBounds:
    """How large a client's message may be (PROTOCOL 6.6.1); None: not bounded."""

    max_bytes: int
    max_depth: int
    max_values: int | None = None
    max_string_length: int | None = None

    @classmethod
    def of(cls, limits: Limits) -> MessageBounds:
        """Those that `welcome` tells."""
        return cls(
            max_bytes=limits.max_message_bytes,
            max_depth=limits.max_depth,
            max_values=None if limits.max_values is MISSING else limits.max_values,
            max_string_length=(
                None if limits.max_string_length is MISSING else limits.max_string_length
            ),
        )


def decode_client_message(text: str, bounds: MessageBounds) -> ClientMessage:
    """Returns the message; raises `MessageError` with the refusal that it deserves."""
    # A raw lone surrogate goes the way of all that fails: pydantic refuses the bytes.
    data = text.encode(errors="surrogatepass")
    if len(data) > bounds.max_bytes:
        raise MessageError(
            ErrorCode.PAYLOAD_TOO_LARGE,
            f"the message is over {bounds.max_bytes} bytes",
            details={"limit": bounds.max_bytes, "size": len(data)},
        )
    if bounds.max_values is not None and ijson.has_more_values(data, bounds.max_values):
        raise _too_many_values(data, bounds.max_values)
    if ijson.is_suspicious(data, bounds.max_depth, bounds.max_string_length):
        _refuse_defects(text, bounds)
    try:
        return _CLIENT_MESSAGE.validate_json(data)
    except ValidationError as error:
        raise _refusal(text, bounds, error) from None


def json_text(value: Any) -> str:
    """The compact JSON text of a value that came in a message: an equal value (PROTOCOL 2)."""
    return to_json(value).decode()


def json_pointer(location: Sequence[int | str], value: Any) -> str:
    """The JSON Pointer of an error that pydantic found in `value`.

    Pydantic's locations also name union branches and validators: what is neither a key nor an
    index is left out, but for the name of a missing field at the end.
    """
    tokens: list[str] = []
    for index, token in enumerate(location):
        if isinstance(value, dict) and (token in value or index == len(location) - 1):
            if token == "[key]":
                break
            value = value.get(token)
        elif isinstance(value, list) and isinstance(token, int) and token < len(value):
            value = value[token]
        else:
            continue
        tokens.append(f"/{ijson.escape_pointer(str(token))}")
    return "".join(tokens)


def first_problem(error: ValidationError) -> ErrorDetails:
    """The first thing that pydantic found, without the input: it may hold a token."""
    return error.errors(include_url=False, include_context=False, include_input=False)[0]


def is_sound_without(text: str, member: str, bounds: MessageBounds) -> bool:
    """Whether a message is refused for one member alone: without it, it would be taken."""
    try:
        message = json.loads(text)
        message.pop(member, None)
        decode_client_message(json.dumps(message), bounds)
    except (ValueError, AttributeError, RecursionError, MessageError):
        return False
    return True


def _too_many_values(data: bytes, max_values: int) -> MessageError:
    """The refusal of a message whose values nobody should make objects of.

    What it answers is read by parsers that keep nothing else.
    """
    problem = f"more than {max_values} JSON values in one message"
    # All of them together are too many: what is pointed to is the message (PROTOCOL 2.3.16).
    return MessageError(ErrorCode.VALIDATION_ERROR, problem, _answered_unparsed(data), pointer="")


def _refuse_defects(text: str, bounds: MessageBounds) -> ijson.Members:
    """Returns a message as it was written, or raises the refusal of one that is not an object,
    not I-JSON or beyond the bounds."""
    try:
        root = ijson.parse(text, bounds.max_depth)
    except JsonDefect as not_json:
        raise MessageError(
            ErrorCode.VALIDATION_ERROR, not_json.problem, pointer=not_json.pointer
        ) from None
    if not isinstance(root, ijson.Members):
        raise MessageError(ErrorCode.VALIDATION_ERROR, "a message is a JSON object")
    defect = ijson.find_defect(root, bounds.max_depth, bounds.max_string_length)
    if defect is not None:
        raise MessageError(
            ErrorCode.VALIDATION_ERROR, defect.problem, _answered(root), pointer=defect.pointer
        )
    return root


def _refusal(text: str, bounds: MessageBounds, error: ValidationError) -> MessageError:
    """What is wrong with a text that is no message."""
    answered = _answered(_refuse_defects(text, bounds))
    if answered.type is None:
        untyped = "a message names its type in 1 to 64 characters"
        return MessageError(ErrorCode.VALIDATION_ERROR, untyped, pointer="/type")
    problem = first_problem(error)
    if problem["type"] == "union_tag_invalid":
        unknown = "this type of message is not one that a client sends here"
        return MessageError(ErrorCode.UNSUPPORTED_TYPE, unknown, answered)
    # The first token of the location is the branch of the union: the message's type.
    pointer = json_pointer(problem["loc"][1:], json.loads(text))
    return MessageError(ErrorCode.VALIDATION_ERROR, problem["msg"], answered, pointer=pointer)


def _answered(message: ijson.Members) -> Answered:
    """Which message a refusal answers, as far as that can be read (PROTOCOL 10.2, 10.46)."""
    kind = _fitting(_MESSAGE_TYPE, message.last("type"))
    match kind:
        case None:
            return Answered()
        case "request":
            return Answered(kind, request_id=_fitting(_REQUEST_ID, message.last("id")))
        case "list":
            return Answered(kind, list_id=_fitting(_LIST_ID, message.last("id")))
        case "attach" | "detach" | "cancel":
            return Answered(kind, request_id=_fitting(_REQUEST_ID, message.last("request_id")))
    return Answered(kind)


def _answered_unparsed(data: bytes) -> Answered:
    """As `_answered`, without making objects of anything else."""
    if ijson.has_constants(data):
        return Answered()  # these parsers take them, but it is no JSON (PROTOCOL 4.3.3)
    kind = _read(_Type, data)
    match kind:
        case "request":
            return Answered(kind, request_id=_read(_Id, data))
        case "list":
            return Answered(kind, list_id=_read(_ListId, data))
        case "attach" | "detach" | "cancel":
            return Answered(kind, request_id=_read(_RequestId, data))
    return Answered(kind)


def _read(member: type[_Member], data: bytes) -> str | None:
    try:
        return member.model_validate_json(data).value
    except ValidationError:
        return None


def _fitting(adapter: TypeAdapter[str], value: Any) -> str | None:
    if not isinstance(value, str) or isinstance(value, ijson.Number):
        return None
    if ijson.has_lone_surrogate(value):
        return None
    try:
        return adapter.validate_python(value)
    except ValidationError:
        return None
