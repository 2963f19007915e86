# SPDX-License-Identifier: Apache-2.0
"""The members of what a client sends (PROTOCOL 4.1, schema/messages), and what each may be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from fuzz.strict_json import MAX_INTEGER, Pairs, Unsafe, Whole, pointer_token

Problems = Iterator[str]
"""JSON Pointers, below the value that was looked at."""
Check = Callable[[Any], Problems]


def is_request_id(value: Any) -> bool:
    """PROTOCOL 5.1.2."""
    return is_id(value) and value not in (".", "..")


def is_id(value: Any) -> bool:
    """Of a list: one that only has to be found again."""
    if not isinstance(value, str) or isinstance(value, Unsafe):
        return False
    return re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", value) is not None


def _bad(is_good: Callable[[Any], bool]) -> Check:
    def check(value: Any) -> Problems:
        if not is_good(value):
            yield ""

    return check


def _text(low: int, high: int, pattern: str | None = None) -> Check:
    def is_good(value: Any) -> bool:
        if not isinstance(value, str) or isinstance(value, Unsafe):
            return False
        if not low <= len(value) <= high:
            return False
        return pattern is None or re.fullmatch(pattern, value) is not None

    return _bad(is_good)


def _number(low: int, high: int) -> Check:
    def is_good(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | Whole):
            return False
        return low <= value <= high

    return _bad(is_good)


def _anything(_: Any) -> Problems:
    return iter(())


def members_of(fields: dict[str, Check]) -> Check:
    """An object with these members; one that ends in ? may be absent."""

    def check(value: Any) -> Problems:
        if not isinstance(value, Pairs):
            yield ""
            return
        members = value.last()
        for name, inner in fields.items():
            key = name.removesuffix("?")
            if key in members:
                for problem in inner(members[key]):
                    yield f"/{key}{problem}"
            elif not name.endswith("?"):
                yield f"/{key}"

    return check


def _metadata(value: Any) -> Problems:
    if not isinstance(value, Pairs):
        yield ""
        return
    members = value.last()
    if len(members) > 32:
        yield ""
    for key, item in members.items():
        if len(key) > 64 or list(_text(0, 512)(item)):
            yield pointer_token(key)


def _statuses(value: Any) -> Problems:
    if not isinstance(value, list) or isinstance(value, Pairs) or not 1 <= len(value) <= 16:
        yield ""
    if isinstance(value, list) and not isinstance(value, Pairs):
        for index, item in enumerate(value):
            if list(_text(1, 64, r"[a-z][a-z0-9_]{0,63}")(item)):
                yield f"/{index}"


_TYPE = _text(1, 64)
_BOOLEAN = _bad(lambda value: isinstance(value, bool))
_REQUEST_ID = _bad(is_request_id)
_ACTION = _text(1, 128, r"[A-Za-z][A-Za-z0-9._-]{0,127}")
_TOKEN = _text(1, 16_384)
_POSITION = _number(0, MAX_INTEGER)
_NONCE = {"type": _TYPE, "nonce?": _text(0, 128)}

MESSAGES: dict[str, dict[str, Check]] = {
    "hello": {
        "type": _TYPE,
        "token?": _TOKEN,
        "client?": members_of({"name": _text(1, 128), "version": _text(1, 128)}),
    },
    "refresh": {"type": _TYPE, "token": _TOKEN},
    "request": {
        "type": _TYPE,
        "id": _REQUEST_ID,
        "action": _ACTION,
        "payload?": _anything,
        "metadata?": _metadata,
        "deadline_ms?": _number(1, MAX_INTEGER),
        "delay_ms?": _POSITION,
        "priority?": _number(0, 9),
        "callback_url?": _text(1, 2048, r"https?://[!-~]+"),
        "resend?": _BOOLEAN,
        "traceparent?": _text(1, 256),
    },
    "attach": {
        "type": _TYPE,
        "request_id": _REQUEST_ID,
        "after_seq": _POSITION,
        "follow?": _BOOLEAN,
    },
    "detach": {"type": _TYPE, "request_id": _REQUEST_ID},
    "cancel": {"type": _TYPE, "request_id": _REQUEST_ID, "reason?": _text(0, 512)},
    "list": {
        "type": _TYPE,
        "id": _bad(is_id),
        "status?": _statuses,
        "action?": _ACTION,
        "sub?": _text(1, 256),
        "limit?": _number(1, 200),
        "cursor?": _text(1, 1024),
    },
    "ping": _NONCE,
    "pong": _NONCE,
}
"""The members of what a client sends (PROTOCOL 4.1, schema/messages)."""
INTEGERS = {"deadline_ms", "delay_ms", "priority", "after_seq", "limit"}
