# SPDX-License-Identifier: Apache-2.0
"""What type checkers are shown in `caller_types` does at run time what they say of it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from importlib.resources import files

import pytest
from caller_types import ill_typed

from longcall import Client, ConfigurationError, ValidationError, connect

WRONG = [
    function
    for name, function in inspect.getmembers(ill_typed, inspect.iscoroutinefunction)
    if not name.startswith("unnoticed_")
]


def test_the_package_says_that_it_is_typed() -> None:
    assert files("longcall").joinpath("py.typed").is_file()


@pytest.mark.parametrize("function", WRONG, ids=lambda function: function.__name__)
async def test_what_a_type_checker_refuses_is_refused_before_anything_is_sent(
    function: Callable[[Client], Awaitable[None]],
) -> None:
    async with connect("ws://127.0.0.1:9", "secret") as client:
        with pytest.raises((TypeError, ValidationError, ConfigurationError)):
            await function(client)
        assert not client._connection.protocol._requests._active


def test_none_of_it_is_left_out() -> None:
    assert len(WRONG) >= 8
