# SPDX-License-Identifier: Apache-2.0
"""Errors carry data, keep it when copied and pickled, and stand in the tree as it is drawn."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

import longcall
from longcall import ErrorCode, InternalError, LongcallError, RequestError, errors
from longcall.errors import ERROR_CLASSES, request_error

EXAMPLES = [
    longcall.ConnectionClosed(4403, "no", request_id="r", outcome_unknown=True),
    longcall.Detached("r"),
    longcall.WaitTimeout("r", sent=False),
    longcall.WaitTimeout(),
    longcall.QueueFull("r", 3, 4),
    longcall.ConfigurationError("bad option"),
    longcall.DownloadError("cut short"),
    request_error("HANDLER_ERROR", "no rows", details={"code": "X"}, request_id="r", attempt=2),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_keep_their_data_when_copied_and_pickled(error: LongcallError) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), error._with()):
        assert type(other) is type(error)
        assert other is not error
        assert other.__dict__ == error.__dict__
        assert str(other) == str(error)


@pytest.mark.clause("7.1.3")
def test_each_code_has_its_class_and_default() -> None:
    assert set(ERROR_CLASSES) == set(ErrorCode)
    for code in ErrorCode:
        assert type(request_error(code, "")) is ERROR_CLASSES[code]
    assert request_error("UNAVAILABLE", "").retryable
    assert not request_error("UNAVAILABLE", "", retryable=False).retryable


@pytest.mark.clause("2.5.7", "2.5.8", "7.1.4")
def test_unknown_code_is_an_internal_error_that_keeps_the_code() -> None:
    error = request_error("NEWER_THAN_WE", "so what", retryable=True)
    assert type(error) is InternalError
    assert (error.code, error.retryable) == ("NEWER_THAN_WE", True)


def test_text_names_what_matters() -> None:
    error = request_error("TIMEOUT", "too late", request_id="job", attempt=3, outcome_unknown=True)
    assert str(error) == "TIMEOUT: too late (request job, attempt 3, outcome unknown)"
    assert "4401" in str(longcall.ConnectionClosed(4401, "expired"))
    assert "withdrawn" in str(longcall.WaitTimeout("r", sent=False))


def test_text_of_a_validation_error_names_the_place() -> None:
    error = request_error("VALIDATION_ERROR", "too long", details={"pointer": "/metadata/k"})
    assert str(error) == "VALIDATION_ERROR: too long at /metadata/k"
    assert str(request_error("VALIDATION_ERROR", "no")) == "VALIDATION_ERROR: no"


def test_tree_in_the_docstring_is_the_tree() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or "")) | {"LongcallError"}
    real = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, LongcallError)
    }
    assert drawn == real
    assert issubclass(longcall.WaitTimeout, TimeoutError)
    assert issubclass(longcall.ConfigurationError, ValueError)
    assert not issubclass(longcall.QueueFull, RequestError)


def test_everything_public_is_exported() -> None:
    public = {
        name
        for module in (errors, longcall.events)
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
    }
    assert public <= set(longcall.__all__)
    for name in longcall.__all__:
        assert hasattr(longcall, name)
