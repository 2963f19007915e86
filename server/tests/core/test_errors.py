# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from longcall_server.core.codes import ERROR_CODES, ErrorCode
from longcall_server.core.errors import (
    MAX_TEXT_BYTES,
    Answered,
    JsonDefect,
    MessageError,
    error_info,
    sendable_pointer,
    sendable_text,
)


@pytest.mark.clause("7.1.2")
def test_retryable_is_what_the_table_says_unless_given() -> None:
    for code, meaning in ERROR_CODES.items():
        assert error_info(code, "x").retryable is meaning.retryable
    assert error_info(ErrorCode.CONFLICT, "x", retryable=True).retryable


@pytest.mark.clause("7.1.1")
def test_an_error_is_made_with_a_code_of_the_table_only() -> None:
    assert set(ERROR_CODES) == set(ErrorCode)
    assert error_info(ErrorCode.TIMEOUT, "x").code == "TIMEOUT"
    with pytest.raises(ValueError, match="MY_CODE"):
        error_info(ErrorCode("MY_CODE"), "x")


@pytest.mark.clause("2.4.3")
def test_absent_fields_are_absent() -> None:
    text = error_info(ErrorCode.INTERNAL_ERROR, "x").model_dump_json()
    assert json.loads(text) == {"code": "INTERNAL_ERROR", "message": "x", "retryable": False}
    assert error_info(ErrorCode.CONFLICT, "x", details=None).model_dump()["details"] is None


def test_an_error_says_where_before_what() -> None:
    error = MessageError(ErrorCode.VALIDATION_ERROR, "too long", Answered("ping"), pointer="/nonce")
    assert str(error) == "VALIDATION_ERROR at '/nonce': too long"
    assert error.info.details == {"pointer": "/nonce"}
    assert str(JsonDefect("/a", "bad")) == "/a: bad"


def test_a_pointer_that_is_too_long_names_what_encloses_it() -> None:
    for key in ("x" * 5000, "~1" * 2000, "\u0001" * 600):
        error = MessageError(ErrorCode.VALIDATION_ERROR, "bad", pointer=f"/payload/0/{key}/a")
        assert error.info.details == {"pointer": "/payload/0"}
    assert sendable_pointer("/" + "x" * 5000) == ""
    assert sendable_pointer("/a/" + "x" * 1000) == "/a/" + "x" * 1000


def test_a_text_that_is_too_long_is_cut() -> None:
    assert sendable_text("short") == "short"
    for character in ("a", "\u0001", "\U0001f600"):
        assert len(json.dumps(sendable_text(character * 9000))) <= MAX_TEXT_BYTES
