# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from longcall_server.core.codec import (
    MessageBounds,
    decode_client_message,
    first_problem,
    is_sound_without,
    json_pointer,
    json_text,
)
from longcall_server.core.codes import ErrorCode
from longcall_server.core.errors import Answered, MessageError
from longcall_server.core.messages import ClientMessage, RequestMessage

PAYLOADS: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def decode(text: str, max_bytes: int = 4096) -> ClientMessage:
    return decode_client_message(text, MessageBounds(max_bytes, 64))


def refusal(text: str) -> MessageError:
    with pytest.raises(MessageError) as caught:
        decode(text)
    return caught.value


def _exactly(value: Any) -> Any:
    """Tells 1 from 1.0 from True and 0.0 from -0.0, as `==` does not."""
    if isinstance(value, dict):
        return {key: _exactly(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exactly(item) for item in value]
    return (type(value), value, math.copysign(1, value) if isinstance(value, float) else 0)


@pytest.mark.clause("2.3.14")
@given(PAYLOADS, st.booleans())
def test_a_payload_reaches_the_store_as_an_equal_value(payload: Any, ascii_only: bool) -> None:
    document = {"type": "request", "id": "r1", "action": "echo", "payload": payload}
    message = decode(json.dumps(document, ensure_ascii=ascii_only), max_bytes=1 << 20)
    assert isinstance(message, RequestMessage)
    assert _exactly(json.loads(json_text(message.payload))) == _exactly(payload)


@pytest.mark.clause("2.6.2", "2.6.4")
def test_the_size_limit_counts_bytes_and_lets_exactly_the_limit_through() -> None:
    text = '{"type":"ping","nonce":"' + "é" * 20 + '"}'
    size = len(text.encode())
    decode(text, max_bytes=size)
    with pytest.raises(MessageError) as caught:
        decode(text, max_bytes=size - 1)
    assert caught.value.code is ErrorCode.PAYLOAD_TOO_LARGE
    assert caught.value.info.details == {"limit": size - 1, "size": size}


@pytest.mark.clause("4.3.5", "4.3.7", "10.2.1", "10.2.2", "10.46.1", "10.46.2")
@pytest.mark.parametrize(
    ("text", "answered"),
    [
        ('{"type":"request","id":"r.1","action":7}', Answered("request", request_id="r.1")),
        ('{"type":"request","id":"a/b","action":"x"}', Answered("request")),
        ('{"type":"request","id":"r\\ud800","action":"x"}', Answered("request")),
        ('{"type":"attach","request_id":"r1"}', Answered("attach", request_id="r1")),
        ('{"type":"cancel","request_id":"r1","reason":1}', Answered("cancel", request_id="r1")),
        ('{"type":"detach","request_id":["r1"]}', Answered("detach")),
        ('{"type":"list","id":"l1","limit":0}', Answered("list", list_id="l1")),
        ('{"type":"list","id":"é"}', Answered("list")),
        ('{"type":"refresh","token":""}', Answered("refresh")),
        ('{"type":"request","id":"r1","payload":1e400}', Answered("request", request_id="r1")),
    ],
)
def test_a_refusal_names_its_message_as_far_as_that_can_be_read(
    text: str, answered: Answered
) -> None:
    error = refusal(text)
    assert error.code is ErrorCode.VALIDATION_ERROR
    assert error.answered == answered


@pytest.mark.clause("4.3.3")
@pytest.mark.parametrize("text", ["", "[]", '"hello"', "null", '{"type":"request"', "{}{}"])
def test_text_that_is_no_object_is_refused_without_any_name(text: str) -> None:
    error = refusal(text)
    assert error.answered == Answered()
    assert error.pointer is None


@pytest.mark.clause("4.3.3", "4.3.4")
@pytest.mark.parametrize("kind", ["7", "null", '""', '"\\ud800"', '"' + "x" * 65 + '"'])
def test_a_type_that_cannot_be_read_is_pointed_at(kind: str) -> None:
    error = refusal(f'{{"type":{kind}}}')
    assert (error.code, error.pointer, error.answered) == ("VALIDATION_ERROR", "/type", Answered())


@pytest.mark.clause("2.5.5", "10.2.1")
@pytest.mark.parametrize("kind", ["subscribe", "welcome", "Request", "x" * 64, "é"])
def test_an_unknown_type_is_answered_under_its_name(kind: str) -> None:
    error = refusal(json.dumps({"type": kind}))
    assert error.code is ErrorCode.UNSUPPORTED_TYPE
    assert error.answered == Answered(kind)


@pytest.mark.clause("2.3.8", "2.3.9")
def test_a_raw_lone_surrogate_is_refused_like_an_escaped_one() -> None:
    error = refusal('{"type":"ping","nonce":"\ud800"}')
    assert (error.code, error.pointer) == ("VALIDATION_ERROR", "/nonce")


@pytest.mark.clause("3.2.8")
def test_no_error_holds_text_of_a_token() -> None:
    for token in ("secret" * 4000, ["secret"], "secret\ud800"):
        error = refusal(json.dumps({"type": "refresh", "token": token}))
        assert "secret" not in str(error) + error.info.model_dump_json()


def test_a_message_is_sound_without_its_only_bad_member() -> None:
    bounds = MessageBounds(4096, 64)
    assert is_sound_without('{"type":"hello","token":7}', "token", bounds)
    assert not is_sound_without('{"type":"hello","token":7,"client":{}}', "token", bounds)
    assert not is_sound_without('{"type":"hello","token":7,"x":1e400}', "token", bounds)


# --- Bounds --------------------------------------------------------------------------------------

VALUES = MessageBounds(1 << 20, 64, max_values=8)
CHARACTERS = MessageBounds(1 << 20, 64, max_string_length=8)


def bounded(message: dict[str, Any] | str, bounds: MessageBounds) -> MessageError | None:
    text = message if isinstance(message, str) else json.dumps(message)
    try:
        decode_client_message(text, bounds)
    except MessageError as error:
        return error
    return None


@pytest.mark.clause("2.3.16", "6.6.1")
@pytest.mark.parametrize(
    "four",
    [[1, 2, 3], [[[[]]]], {"a": {}, "b,[{": "[,{", "c": ""}, [[","], '\\",['], [{}] * 3],
)
def test_a_message_of_as_many_values_as_allowed_passes_and_one_more_is_refused(four: Any) -> None:
    # The message, its type, id and action are four, and the payload is the other four of eight.
    message = {"type": "request", "id": "r1", "action": "a", "payload": four}
    for text in (json.dumps(message), json.dumps(message, indent=2)):
        assert bounded(text, VALUES) is None
    if isinstance(four, dict):
        four["more"] = None
    else:
        four.append(None)
    for text in (json.dumps(message), json.dumps(message, indent=2)):
        error = bounded(text, VALUES)
        assert error is not None
        assert error.code is ErrorCode.VALIDATION_ERROR
        assert (error.pointer, "8 JSON values" in error.problem) == ("", True)
        assert error.answered == Answered("request", request_id="r1")


@pytest.mark.parametrize(
    ("message", "answered"),
    [
        ({"type": "list", "id": "l1"}, Answered("list", list_id="l1")),
        ({"type": "cancel", "request_id": "r1"}, Answered("cancel", request_id="r1")),
        ({"type": "attach", "request_id": "a/b"}, Answered("attach")),
        ({"type": "request", "id": [[]]}, Answered("request")),
        ({"type": "what", "id": "r1"}, Answered("what")),
        ({"type": [[]], "id": "r1"}, Answered()),
        ({"type": "cancel", "request_id": "r1", "y": "NaN"}, Answered("cancel", request_id="r1")),
        ({"type": "cancel", "request_id": "r1", "y": math.nan}, Answered()),
        ({"type": "cancel", "request_id": "r1", "y": -math.inf}, Answered()),
    ],
)
@pytest.mark.clause("4.3.3", "10.2.1", "10.46.1")
def test_the_refusal_of_too_many_values_names_what_it_answers(
    message: dict[str, Any], answered: Answered
) -> None:
    error = bounded({**message, "x": [0] * 20}, VALUES)
    assert error is not None
    assert error.answered == answered


def test_what_is_not_json_has_never_too_many_values_to_be_refused() -> None:
    error = bounded("[" * 1000, VALUES)
    assert error is not None
    assert error.answered == Answered()


@pytest.mark.clause("2.3.17", "6.6.1")
@pytest.mark.parametrize("eight", ["12345678", "é" * 8, "\U0001f600" * 8, '"\\\\"\n/\t' + "x"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_string_as_long_as_allowed_passes_and_a_character_more_is_refused(
    eight: str, ascii_only: bool
) -> None:
    for where, pointer in (
        (lambda text: [[0, text]], "/x/0/1"),
        (lambda text: {text: 1}, "/x"),
    ):
        message = {"type": "ping", "x": where(eight[:8])}
        assert bounded(json.dumps(message, ensure_ascii=ascii_only), CHARACTERS) is None
        message["x"] = where(eight[:7] + '"\\')
        error = bounded(json.dumps(message, ensure_ascii=ascii_only), CHARACTERS)
        assert error is not None
        assert (error.code, error.pointer) == (ErrorCode.VALIDATION_ERROR, pointer)
        assert "8 characters" in error.problem
        assert error.answered == Answered("ping")


def test_what_stands_between_strings_is_no_long_string() -> None:
    assert bounded({"type": "ping", "x": [1234567, 1234567, "x", 1234567, 123]}, CHARACTERS) is None


class Cat(BaseModel):
    lives: int


class Dog(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("annotation", "value", "pointer"),
    [
        (Cat | Dog, {"lives": "x"}, "/lives"),
        (dict[str, list[int]], {"a/b": [1, "x"]}, "/a~1b/1"),
        (dict[int, str], {"k~": "v"}, "/k~0"),
        (Cat, {}, "/lives"),
        (int, "x", ""),
        (list[Cat | int], [1, {"lives": None}], "/1/lives"),
    ],
)
def test_pydantics_locations_become_pointers_into_the_value(
    annotation: Any, value: Any, pointer: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(annotation).validate_json(json.dumps(value))
    assert json_pointer(first_problem(caught.value)["loc"], value) == pointer
