# SPDX-License-Identifier: Apache-2.0
"""What the protocol says of a client's text, written once more from PROTOCOL.md and the schema.

Nothing here is the server's: Python's own parser reads the text, and plain code looks at the
members. A text may have many defects and is refused for one of them, no matter which: so a verdict
holds the places of all.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from fuzz.fields import INTEGERS, MESSAGES, Problems, is_id, is_request_id, members_of
from fuzz.strict_json import Pairs, Unsafe, Whole, children, is_lone, parse, pointer_token


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
    elif problems := list(members_of(MESSAGES[verdict.type])(document)):
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


# --- The message --------------------------------------------------------------------------------


def _name(verdict: Verdict) -> None:
    """PROTOCOL 4.3.3, 4.3.4, 4.3.7, 10.46: what a refusal names."""
    kind = verdict.members.get("type")
    if not isinstance(kind, str) or isinstance(kind, Unsafe) or not 1 <= len(kind) <= 64:
        return
    if is_lone(kind):
        return
    verdict.type = kind
    if kind == "list":
        id = verdict.members.get("id")
        verdict.list_id = id if is_id(id) else None
    elif kind in ("request", "attach", "detach", "cancel"):
        id = verdict.members.get("id" if kind == "request" else "request_id")
        verdict.request_id = id if is_request_id(id) else None


# --- I-JSON --------------------------------------------------------------------------------------


def _defects(value: Any, pointer: str, depth: int, bounds: Bounds) -> Problems:
    """PROTOCOL 2.3.5, 2.3.6, 2.3.8, 2.3.9, 2.3.12, 2.3.17."""
    if isinstance(value, Unsafe) or _is_bad_text(value, bounds):
        yield pointer
    elif isinstance(value, list):
        if depth > bounds.max_depth:
            yield pointer
            return
        for token, child in children(value):
            if _is_bad_text(token, bounds):
                yield pointer
            else:
                yield from _defects(child, pointer + pointer_token(token), depth + 1, bounds)


def _is_bad_text(value: Any, bounds: Bounds) -> bool:
    if not isinstance(value, str):
        return False
    return is_lone(value) or len(value) > bounds.max_string_length


def _count(value: Any) -> int:
    """PROTOCOL 2.3.16."""
    return 1 + sum(_count(child) for _, child in children(value)) if isinstance(value, list) else 1


def _repeated(value: Any, pointer: str) -> Problems:
    """PROTOCOL 2.3.11: objects with equal keys, and the members that bear them."""
    if not isinstance(value, list):
        return
    if isinstance(value, Pairs):
        counts = Counter(key for key, _ in value)
        if len(counts) < len(value):
            yield pointer
        yield from (pointer + pointer_token(key) for key, count in counts.items() if count > 1)
    for token, child in children(value):
        yield from _repeated(child, pointer + pointer_token(token))


def _whole(document: Pairs) -> Problems:
    """PROTOCOL 2.3.4: members that would be integers, had they been written as such."""
    for key, value in document:
        if isinstance(value, Whole) and key in INTEGERS:
            yield pointer_token(key)
