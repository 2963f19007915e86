# SPDX-License-Identifier: Apache-2.0
"""Text <-> messages, and what may stand in a message: I-JSON (RFC 7493). PROTOCOL 2.3.

Nothing here keeps state, and nothing a server sends makes `decode` raise anything but
`MalformedMessage`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, TypeAlias, TypeVar

import pydantic
import pydantic_core
from pydantic import JsonValue, TypeAdapter

from .errors import ValidationError
from .messages import (
    AcknowledgmentMessage,
    AnnouncementMessage,
    AttachMessage,
    CancelMessage,
    ChunkMessage,
    CompleteMessage,
    DetachMessage,
    ErrorMessage,
    GoawayMessage,
    HelloMessage,
    ListingMessage,
    ListMessage,
    PingMessage,
    PongMessage,
    ProgressMessage,
    RefreshedMessage,
    RefreshMessage,
    RequestMessage,
    ResponseMessage,
    ServerMessage,
    SnapshotMessage,
    StatusMessage,
    WelcomeMessage,
)

MAX_INTEGER: Final = 2**53 - 1
MAX_DEPTH: Final = 200
"""Deeper values are refused before they are sent; also what stands in itself."""

M = TypeVar("M", bound=pydantic.BaseModel)

ClientMessageModel: TypeAlias = (
    HelloMessage
    | RefreshMessage
    | RequestMessage
    | AttachMessage
    | DetachMessage
    | CancelMessage
    | ListMessage
    | PingMessage
    | PongMessage
)
ServerMessageModel: TypeAlias = (
    PingMessage
    | PongMessage
    | WelcomeMessage
    | RefreshedMessage
    | ResponseMessage
    | AcknowledgmentMessage
    | StatusMessage
    | ProgressMessage
    | ChunkMessage
    | CompleteMessage
    | ErrorMessage
    | SnapshotMessage
    | ListingMessage
    | GoawayMessage
    | AnnouncementMessage
)


class MalformedMessage(Exception):
    """Raised for text that is no message; the text of the error quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class UnknownMessage:
    """A message of a type that is not known here: ignored but for its number. PROTOCOL 2.5.4."""

    type: str
    request_id: str | None
    seq: int | None


@cache
def _server_message() -> TypeAdapter[ServerMessageModel]:
    """What reads every message of a server. It takes as long to make as all else to import."""
    return TypeAdapter(ServerMessage)


_SERVER_TYPES: Final = frozenset(
    {
        "ping", "pong", "welcome", "refreshed", "response", "acknowledgment", "status", "progress",
        "chunk", "complete", "error", "snapshot", "listing", "goaway", "announcement",
    }
)  # fmt: skip
# What only a slow, exact look can judge: long integers, great exponents, escaped surrogates, NaN.
_SUSPICIOUS: Final = re.compile(r"[0-9]{16}|[eE]\+?[0-9]{3}|\\u[dD]|NaN|Infinity")


def encode(message: ClientMessageModel) -> str:
    """Returns the text of a message."""
    return message.model_dump_json()


def with_resend(text: str) -> str:
    """Returns the text of a `request` with `resend: true`. PROTOCOL 10.6."""
    # The text is our own compact JSON of an object that is never empty.
    return text[:-1] + ',"resend":true}'


def decode(text: str) -> ServerMessageModel | UnknownMessage:
    """Returns the server's message in `text`.

    Raises:
        MalformedMessage: It is not JSON, not I-JSON, or breaks the schema of its type.
    """
    if _SUSPICIOUS.search(text):
        _check_ijson(text)
    try:
        # By alias alone: the names of fields that Python spells otherwise are not on the wire.
        return _server_message().validate_json(text, by_alias=True, by_name=False)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    except RecursionError:
        raise MalformedMessage("nested too deep") from None
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return _unknown(text)
    place = "".join(f"/{part}" for part in first["loc"])
    raise MalformedMessage(f"{place or 'text'}: {first['msg']}")


def _check_ijson(text: str) -> None:
    def no_constant(token: str) -> None:
        raise ValueError(f"{token} is not JSON")

    try:
        value = json.loads(text, parse_constant=no_constant)
        defect = find_defect(value)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"not JSON: {type(error).__name__}") from None
    if defect is not None:
        raise MalformedMessage(f"{defect[0]}: {defect[1]}")


def _unknown(text: str) -> UnknownMessage:
    value = json.loads(text)
    kind = value.get("type")
    if not isinstance(kind, str) or kind in _SERVER_TYPES:
        raise MalformedMessage("/type: not a string")
    request_id, seq = value.get("request_id"), value.get("seq")
    return UnknownMessage(
        kind,
        request_id if isinstance(request_id, str) else None,
        seq if isinstance(seq, int) and not isinstance(seq, bool) else None,
    )


def find_defect(value: Any, pointer: str = "") -> tuple[str, str] | None:
    """Returns the JSON Pointer and the defect of the first thing in `value` that is not I-JSON.

    None if all of it is. Only `None`, `bool`, `int`, `float`, `str`, `list` and `dict` themselves
    count as JSON, not their subclasses.
    """
    stack = [(value, pointer, 1)]
    while stack:
        item, place, depth = stack.pop()
        kind = type(item)
        if depth > MAX_DEPTH:
            return pointer, "nested too deep"
        if kind is dict:
            for key, member in item.items():
                if type(key) is not str or not _is_unicode(key):
                    return place, "a key is not a string of Unicode text"
                escaped = key.replace("~", "~0").replace("/", "~1")
                stack.append((member, f"{place}/{escaped}", depth + 1))
        elif kind is list:
            stack.extend(
                (member, f"{place}/{index}", depth + 1) for index, member in enumerate(item)
            )
        elif (problem := _scalar_defect(item, kind)) is not None:
            return place, problem
    return None


def _scalar_defect(item: Any, kind: type[Any]) -> str | None:
    if kind is str:
        return None if _is_unicode(item) else "a lone surrogate is not Unicode text"
    if kind is int:
        fits = -MAX_INTEGER <= item <= MAX_INTEGER
        return None if fits else "an integer beyond ±(2^53 - 1) must travel as a string"
    if kind is float:
        return None if math.isfinite(item) else "NaN and infinities are not JSON"
    if item is None or kind is bool:
        return None
    return f"{kind.__name__} is not JSON"


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_json_value(payload: object, pointer: str = "/payload") -> JsonValue:
    """Returns a payload as a JSON value: JSON as it is; models, dataclasses, times … by pydantic.

    Raises:
        ValidationError: It holds what JSON cannot, or what I-JSON must not; with the pointer.
    """
    try:
        defect = find_defect(payload, pointer)
        if defect is not None and defect[1].endswith("is not JSON"):
            payload = pydantic_core.to_jsonable_python(payload, by_alias=True)
            defect = find_defect(payload, pointer)
    except (ValueError, TypeError, RecursionError) as error:
        # PydanticSerializationError is a ValueError; so is a circular reference.
        defect = pointer, str(error)
    if defect is not None:
        raise invalid(*defect)
    return payload  # type: ignore[return-value]  # find_defect has looked at all of it


def invalid(pointer: str, problem: str, request_id: str | None = None) -> ValidationError:
    """Returns the error for something that must not be sent."""
    return ValidationError(
        f"{pointer or '/'}: {problem}",
        code="VALIDATION_ERROR",
        details={"pointer": pointer},
        request_id=request_id,
        origin="client",
    )


def make_request(**fields: Any) -> RequestMessage:
    """Returns a `request`; fields whose value is None are left out, but for `payload`.

    Raises:
        ValidationError: A field does not fit the schema; `details["pointer"]` names it.
    """
    present = {key: value for key, value in fields.items() if value is not None or key == "payload"}
    return _validated(RequestMessage, present)


def make_list(**fields: Any) -> ListMessage:
    """Returns a `list`; fields whose value is None are left out. Raises as `make_request` does."""
    return _validated(
        ListMessage, {key: value for key, value in fields.items() if value is not None}
    )


def make_cancel(request_id: str, reason: str | None) -> CancelMessage:
    """Returns a `cancel`. Raises as `make_request` does."""
    fields = {"request_id": request_id, "reason": reason}
    return _validated(
        CancelMessage, {key: value for key, value in fields.items() if value is not None}
    )


def check_request_id(request_id: str) -> None:
    """Raises `ValidationError` unless `request_id` has the form of PROTOCOL 5.1.2."""
    _validated(AttachMessage, {"request_id": request_id, "after_seq": 0})


def _validated(model: type[M], fields: dict[str, Any]) -> M:
    try:
        return model.model_validate(fields)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise invalid("".join(f"/{part}" for part in first["loc"]), first["msg"]) from None


def parse_timestamp(text: str) -> datetime:
    """Returns the time of a `Timestamp`. PROTOCOL 2.4.

    Raises:
        MalformedMessage: It fits the schema, but there is no such day.
    """
    is_leap = text[17:19] == "60"  # a leap second, which datetime does not know
    try:
        time = datetime.fromisoformat(f"{text[:17]}59{text[19:]}" if is_leap else text)
        return time.astimezone(UTC) + timedelta(seconds=1 if is_leap else 0)
    except (ValueError, OverflowError):
        raise MalformedMessage("a time that does not exist") from None


def canonical_json(value: JsonValue) -> str:
    """Returns the canonical text of a JSON `value` by RFC 8785: sorted keys, JavaScript numbers.

    Two payloads are the same request where these texts are equal. PROTOCOL 10.23.
    """
    match value:
        case dict():
            keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
            members = (f"{_string(key)}:{canonical_json(value[key])}" for key in keys)
            return f"{{{','.join(members)}}}"
        case list():
            return f"[{','.join(canonical_json(item) for item in value)}]"
        case str():
            return _string(value)
        case float():
            return _number(value)
        case _:
            return json.dumps(value)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _number(value: float) -> str:
    """Writes a double as ECMAScript's Number::toString does."""
    if value == 0:
        return "0"
    sign, digits, exponent = _decimal(value)
    point = len(digits) + exponent  # where the decimal point stands, counted from the first digit
    if 0 < point <= 21:
        if exponent >= 0:
            return sign + digits + "0" * exponent
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{sign}{mantissa}e{point - 1:+d}"


def _decimal(value: float) -> tuple[str, str, int]:
    """Returns sign, shortest digits without zeros at the ends, and the exponent of the last one."""
    mantissa, _, power = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    stripped = digits.rstrip("0")
    exponent = int(power or 0) - len(fraction) + len(digits) - len(stripped)
    return "-" if value < 0 else "", stripped, exponent
