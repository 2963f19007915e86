# SPDX-License-Identifier: Apache-2.0
"""What may be sent, and what a server may say: PROTOCOL 2.3."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, Field

from longcall import ValidationError
from longcall.codec import (
    MalformedMessage,
    canonical_json,
    decode,
    make_request,
    parse_timestamp,
    to_json_value,
    with_resend,
)


class Row(BaseModel):
    name: str = Field(alias="Name")
    at: datetime


@dataclass
class Params:
    rows: list[Row]
    share: float


def test_models_and_dataclasses_become_json() -> None:
    row = Row(Name="ä", at=datetime(2026, 11, 23, tzinfo=UTC))
    assert to_json_value(Params([row], 0.5)) == {
        "rows": [{"Name": "ä", "at": "2026-11-23T00:00:00Z"}],
        "share": 0.5,
    }
    assert to_json_value({"a": (1, None, True)}) == {"a": [1, None, True]}


def a_loop() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.clause("2.3.1", "2.3.2")
@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({"a": [1, float("nan")]}, "/payload/a/1"),
        ({"a": float("inf")}, "/payload/a"),
        ({"x/y~": 2**53}, "/payload/x~1y~0"),
        ([-(2**53)], "/payload/0"),
        ("\ud800", "/payload"),
        ({"\udfff": 1}, "/payload"),
        ({1: 1}, "/payload"),
        (object(), "/payload"),
        (a_loop(), "/payload"),
        (Params([], float("nan")), "/payload/share"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(payload: object, pointer: str) -> None:
    with pytest.raises(ValidationError) as caught:
        to_json_value(payload)
    assert caught.value.details == {"pointer": pointer}
    assert caught.value.origin == "client"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"id": "a b"}, "/id"),
        ({"action": "1x"}, "/action"),
        ({"priority": 10}, "/priority"),
        ({"deadline_ms": 0}, "/deadline_ms"),
        ({"metadata": {"a": "x" * 513}}, "/metadata/a"),
        ({"metadata": {"a": 1}}, "/metadata/a"),
        ({"callback_url": "ftp://x"}, "/callback_url"),
    ],
)
def test_fields_are_checked_by_the_schema(fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make_request(**{"id": "a", "action": "b", "payload": None, **fields})
    assert caught.value.details == {"pointer": pointer}


@pytest.mark.clause("2.4.3")
def test_absent_fields_are_left_out_and_null_is_a_value() -> None:
    text = make_request(id="a", action="b", payload=None, priority=None).model_dump_json()
    assert text == '{"type":"request","id":"a","action":"b","payload":null}'
    assert with_resend(text) == text[:-1] + ',"resend":true}'


@pytest.mark.clause("2.3.13")
def test_server_may_nest_128_levels() -> None:
    start = '{"type":"complete","request_id":"a","seq":1,"result":'
    decode(f"{start}{'[' * 127}{']' * 127}}}")
    with pytest.raises(MalformedMessage):
        decode(f"{start}{'[' * 100_000}{']' * 100_000}}}")


def test_errors_about_a_malformed_message_quote_nothing_of_it() -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode('{"type":"complete","request_id":"a","seq":"secret","result":1}')
    assert "secret" not in str(caught.value)


def test_leap_second_is_a_time() -> None:
    assert parse_timestamp("2026-12-31T23:59:60.500Z") == datetime(
        2027, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC
    )
    with pytest.raises(MalformedMessage):
        parse_timestamp("2026-02-30T00:00:00.000Z")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (1e20, "100000000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1234.5678, "1234.5678"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
    ],
)
def test_canonical_numbers_are_those_of_javascript(number: float, text: str) -> None:
    assert canonical_json(number) == text


def test_canonical_keys_are_sorted_by_utf16() -> None:
    value: Any = {"\ufb33": 1, "\U0001f600": 2, "é": 3, "b": True, "a": [None, "\u2028\n"]}
    assert canonical_json(value) == (
        '{"a":[null,"\u2028\\n"],"b":true,"é":3,"\U0001f600":2,"\ufb33":1}'
    )
