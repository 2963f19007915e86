# SPDX-License-Identifier: Apache-2.0
"""What the protocol says of a client's text, written once more from PROTOCOL.md and the schema.

Nothing here is the server's: Python's own parser reads the text, and plain code looks at the
members. A text may have many defects and is refused for one of them, no matter which: so a verdict
holds the places of all.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

MAX_INTEGER = 2**53 - 1

Problems = Iterator[str]
"""JSON Pointers, below the value that was looked at."""
Check = Callable[[Any], Problems]


class Pairs(list[tuple[str, Any]]):
    """An object as it was written."""

    def last(self) -> dict[str, Any]:
        """What counts of it: the last of equal keys."""
        return dict(self)


class Unsafe(str):
    """A number that I-JSON does not have."""

    __slots__ = ()


class Whole(float):
    """An integer that was written with a fraction or an exponent: PROTOCOL 2.3.4 leaves it open."""

    __slots__ = ()


@dataclass(frozen=True)
class Bounds:
    """How large a message may be (PROTOCOL 6.6.1)."""

    max_bytes: int
    max_depth: int
    max_values: int = 100_000
    max_string_length: int = 1 << 20


@dataclass
class Verdict:
    """What must, and what may, become of a text that comes after `hello`."""

    codes: set[str] = field(default_factory=set)
    """It is refused with one of these; empty: it is accepted."""
    defects: set[str | None] = field(default_factory=set)
    """The places of what it is refused for."""
    optional: set[str | None] = field(default_factory=set)
    """Places of what a server refuses or takes, as it likes."""
    type: str | None = None
    """`reply_to` of a refusal."""
    request_id: str | None = None
    list_id: str | None = None
    members: dict[str, Any] = field(default_factory=dict)
    document: Any = None
    may_be_unnamed: bool = False
    """A refusal may leave out which message it answers."""
    is_unread: bool = False
    """Nothing is said of the rest."""

    @property
    def is_accepted(self) -> bool:
        """Whether it may be taken."""
        return not self.codes

    @property
    def may_refuse(self) -> bool:
        """Whether it may be taken, or refused with VALIDATION_ERROR."""
        return not self.codes and bool(self.optional)

    def is_named_by(self, *told: str | None) -> bool:
        """Whether a refusal with this `reply_to`, `request_id` and `id` names the message."""
        if self.is_unread or (self.may_be_unnamed and not any(told)):
            return True
        return told == (self.type, self.request_id, self.list_id)

    @property
    def pointers(self) -> set[str | None]:
        """The places that a refusal may name."""
        return self.defects | self.optional


def judge(text: str, bounds: Bounds) -> Verdict:
    """The verdict over one text."""
    if len(text.encode("utf-8", "surrogatepass")) > bounds.max_bytes:
        return Verdict({"PAYLOAD_TOO_LARGE"}, defects={None})
    try:
        document = parse(text)
    except ValueError:
        # Who counts values before reading the text may say that there are too many.
        return Verdict({"VALIDATION_ERROR"}, defects={None}, optional={""})
    except RecursionError:
        # Deeper than Python's parser goes: JSON or not, it is refused; where is not said here.
        return Verdict({"VALIDATION_ERROR"}, is_unread=True)
    if not isinstance(document, Pairs):
        verdict = Verdict({"VALIDATION_ERROR"}, defects={None}, document=document)
        verdict.optional = {""} if _count(document) > bounds.max_values else set()
        return verdict
    verdict = Verdict(members=document.last(), document=document)
    _name(verdict)
    if verdict.type is None:
        verdict.codes.add("VALIDATION_ERROR")
        verdict.defects.add("/type")
    elif verdict.type not in MESSAGES:
        verdict.codes.add("UNSUPPORTED_TYPE")
        verdict.defects.add(None)
    elif problems := list(_members(MESSAGES[verdict.type])(document)):
        verdict.codes.add("VALIDATION_ERROR")
        verdict.defects.update(problems)
    defects = list(_defects(document, "", 1, bounds))
    if defects:
        verdict.codes.add("VALIDATION_ERROR")
        verdict.defects.update(defects)
    if _count(document) > bounds.max_values:
        verdict.codes.add("VALIDATION_ERROR")
        verdict.defects.add("")
        # Nobody makes objects of it to find its name behind what strict parsers do not read.
        verdict.may_be_unnamed = bool(defects)
    verdict.optional = {*_whole(document), *_repeated(document, "")}
    return verdict


def parse(text: str) -> Any:
    """Strict JSON to `Pairs`, lists and scalars; raises ValueError, or RecursionError."""
    return json.loads(
        text,
        parse_int=_integer,
        parse_float=_float,
        parse_constant=_refuse,
        object_pairs_hook=Pairs,
    )


def plain(value: Any) -> Any:
    """The same without what tells how it was written."""
    if isinstance(value, Pairs):
        return {key: plain(item) for key, item in value}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return float(value) if isinstance(value, Whole) else value


def resolve(document: Any, pointer: str) -> bool:
    """Whether the pointer leads to a value, or to a member that an object lacks."""
    values = [document]  # more than one where keys are repeated
    tokens = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for number, token in enumerate(tokens):
        parents = [value for value in values if isinstance(value, list)]
        values = [
            child for value in parents for key, child in _children(value) if str(key) == token
        ]
        if not values:
            return number == len(tokens) - 1 and any(isinstance(one, Pairs) for one in parents)
    return True


def equal(one: Any, other: Any) -> bool:
    """Whether two JSON values have one RFC 8785 form: 1 is 1.0 and -0, and none is true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


# --- The message --------------------------------------------------------------------------------


def is_request_id(value: Any) -> bool:
    """PROTOCOL 5.1.2."""
    return _is_id(value) and value not in (".", "..")


def _is_id(value: Any) -> bool:
    if not isinstance(value, str) or isinstance(value, Unsafe):
        return False
    return re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", value) is not None


def _name(verdict: Verdict) -> None:
    """PROTOCOL 4.3.3, 4.3.4, 4.3.7, 10.46: what a refusal names."""
    kind = verdict.members.get("type")
    if not isinstance(kind, str) or isinstance(kind, Unsafe) or not 1 <= len(kind) <= 64:
        return
    if _is_lone(kind):
        return
    verdict.type = kind
    if kind == "list":
        id = verdict.members.get("id")
        verdict.list_id = id if _is_id(id) else None
    elif kind in ("request", "attach", "detach", "cancel"):
        id = verdict.members.get("id" if kind == "request" else "request_id")
        verdict.request_id = id if is_request_id(id) else None


# --- I-JSON --------------------------------------------------------------------------------------


def _integer(text: str) -> int | Unsafe:
    if len(text) > 20:
        return Unsafe(text)
    value = int(text)
    return value if -MAX_INTEGER <= value <= MAX_INTEGER else Unsafe(text)


def _float(text: str) -> float | Unsafe:
    value = float(text)
    if math.isinf(value):
        return Unsafe(text)
    return Whole(value) if value.is_integer() else value


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _is_lone(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _token(token: str | int) -> str:
    return "/" + str(token).replace("~", "~0").replace("/", "~1")


def _children(value: Any) -> list[tuple[str | int, Any]]:
    return list(value) if isinstance(value, Pairs) else list(enumerate(value))


def _defects(value: Any, pointer: str, depth: int, bounds: Bounds) -> Problems:
    """PROTOCOL 2.3.5, 2.3.6, 2.3.8, 2.3.9, 2.3.12, 2.3.17."""
    if isinstance(value, Unsafe) or _is_bad_text(value, bounds):
        yield pointer
    elif isinstance(value, list):
        if depth > bounds.max_depth:
            yield pointer
            return
        for token, child in _children(value):
            if _is_bad_text(token, bounds):
                yield pointer
            else:
                yield from _defects(child, pointer + _token(token), depth + 1, bounds)


def _is_bad_text(value: Any, bounds: Bounds) -> bool:
    if not isinstance(value, str):
        return False
    return _is_lone(value) or len(value) > bounds.max_string_length


def _count(value: Any) -> int:
    """PROTOCOL 2.3.16."""
    return 1 + sum(_count(child) for _, child in _children(value)) if isinstance(value, list) else 1


def _repeated(value: Any, pointer: str) -> Problems:
    """PROTOCOL 2.3.11: objects with equal keys, and the members that bear them."""
    if not isinstance(value, list):
        return
    if isinstance(value, Pairs):
        counts = Counter(key for key, _ in value)
        if len(counts) < len(value):
            yield pointer
        yield from (pointer + _token(key) for key, count in counts.items() if count > 1)
    for token, child in _children(value):
        yield from _repeated(child, pointer + _token(token))


def _whole(document: Pairs) -> Problems:
    """PROTOCOL 2.3.4: members that would be integers, had they been written as such."""
    for key, value in document:
        if isinstance(value, Whole) and key in INTEGERS:
            yield _token(key)


# --- Members -------------------------------------------------------------------------------------


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


def _members(fields: dict[str, Check]) -> Check:
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
            yield _token(key)


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
        "client?": _members({"name": _text(1, 128), "version": _text(1, 128)}),
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
        "id": _bad(_is_id),
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
