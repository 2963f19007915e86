# SPDX-License-Identifier: Apache-2.0
"""One text through the codec, beside what the protocol says of it.

`check` raises AssertionError on whatever must not be; any other exception is a finding as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from fuzz.oracle import Bounds, Verdict, judge
from fuzz.strict_json import equal, plain, resolve
from longcall_server.core import ijson
from longcall_server.core.codec import MessageBounds, decode_client_message, json_text
from longcall_server.core.errors import MessageError
from longcall_server.core.messages import ClientMessage, RequestMessage

# Less than by default, so that short texts get there.
ALLOWED = Bounds(max_bytes=4_096, max_depth=8, max_values=48, max_string_length=600)
BOUNDS = MessageBounds(**asdict(ALLOWED))

# Every text of a refusal is one of these, so that none can quote the document, or a token in it.
_TEXTS = re.compile(
    r"""not\ JSON:\ (
        (Expecting|Invalid|Unterminated|Extra|Illegal|Unexpected)[A-Za-z0-9\ ',\\:"()-]*?
        \ at\ character\ \d+ | (NaN|-?Infinity)\ is\ not\ a\ JSON\ value )
    | a\ message\ is\ a\ JSON\ object
    | a\ message\ names\ its\ type\ in\ 1\ to\ 64\ characters
    | this\ type\ of\ message\ is\ not\ one\ that\ a\ client\ sends\ here
    | the\ message\ is\ over\ \d+\ bytes
    | an\ integer\ beyond\ ±\(2\^53\ -\ 1\)\ must\ travel\ as\ a\ string
    | a\ number\ that\ a\ double\ cannot\ hold
    | a\ lone\ surrogate\ is\ not\ Unicode\ text
    | more\ than\ \d+\ JSON\ values\ in\ one\ message
    | a\ string\ of\ more\ than\ \d+\ characters
    | nested\ deeper\ than\ \d+\ levels
    | Field\ required
    | Input\ should\ be\ (
        a\ valid\ (string|integer|boolean|list|dictionary|array) | an\ object
        | (less|greater)\ than\ or\ equal\ to\ \d+ )
    | String\ should\ have\ at\ (least|most)\ \d+\ characters?
    | String\ should\ match\ pattern\ '.+'
    | (List|Dictionary)\ should\ have\ at\ (least|most)\ \d+\ items?
        \ after\ validation,\ not\ (\d+|more)
    """,
    re.VERBOSE,
)


def check(data: bytes) -> None:
    """Judges what the codec makes of one text; bytes that are no UTF-8 become lone surrogates."""
    text = data.decode("utf-8", "surrogateescape")
    verdict = judge(text, ALLOWED)
    found = _decode(text)
    if isinstance(found, MessageError):
        check_refusal(found, verdict)
    else:
        _check_message(found, text, verdict)
    with _slow_way():
        again = _decode(text)
    assert _told(found) == _told(again), "the short way and the careful one disagree"


def check_refusal(error: MessageError, verdict: Verdict) -> None:
    """Judges what a refusal says (PROTOCOL 4.3, 10.2, 10.46)."""
    codes = {"VALIDATION_ERROR"} if verdict.may_refuse else verdict.codes
    assert error.code in codes, f"{error.code} is none of {codes}"
    assert json.loads(error.info.model_dump_json())["code"] == error.code
    matched = _TEXTS.fullmatch(error.problem)
    assert matched is not None, f"an unknown text: {error.problem!r}"
    if verdict.is_unread:
        return
    assert error.pointer in verdict.pointers, f"{error.pointer} is none of {verdict.pointers}"
    answered = error.answered
    assert verdict.is_named_by(answered.type, answered.request_id, answered.list_id), answered
    assert error.pointer is None or resolve(verdict.document, error.pointer)


def _check_message(message: ClientMessage, text: str, verdict: Verdict) -> None:
    assert verdict.is_accepted, f"taken in spite of {verdict.codes} at {verdict.pointers}"
    # What is taken has no defect for the careful way either.
    document = ijson.parse(text, BOUNDS.max_depth)
    assert ijson.find_defect(document, BOUNDS.max_depth, BOUNDS.max_string_length) is None
    assert message.type == verdict.type
    kept = json.loads(message.model_dump_json())
    sent = plain(verdict.document)
    for key, value in kept.items():
        if key != "client":
            assert equal(value, sent[key]), f"/{key} became another value"
    if isinstance(message, RequestMessage) and "payload" in sent:
        assert equal(json.loads(json_text(message.payload)), sent["payload"])


def _decode(text: str) -> ClientMessage | MessageError:
    try:
        return decode_client_message(text, BOUNDS)
    except MessageError as refusal:
        return refusal


def _told(found: ClientMessage | MessageError) -> object:
    if isinstance(found, MessageError):
        return found.code, found.pointer, found.answered, found.problem
    return type(found), found.model_dump_json()


@contextmanager
def _slow_way() -> Iterator[None]:
    """The careful look at every text, as if each one smelled."""
    quick = ijson.is_suspicious
    ijson.is_suspicious = lambda *_: True
    try:
        yield
    finally:
        ijson.is_suspicious = quick
