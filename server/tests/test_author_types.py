# SPDX-License-Identifier: Apache-2.0
"""What type checkers are shown in `author_types` does at run time what they say of it."""

import inspect
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from author_types import ill_typed, well_typed

from longcall_server.testing import run_handler

WRONG = [
    function
    for _, function in inspect.getmembers(ill_typed, inspect.isfunction)
    if function.__module__ == ill_typed.__name__
]


def test_the_package_says_that_it_is_typed() -> None:
    assert files("longcall_server").joinpath("py.typed").is_file()


@pytest.mark.parametrize("function", WRONG, ids=lambda function: function.__name__)
def test_what_a_type_checker_refuses_is_refused_when_it_is_registered(
    function: Callable[[], None],
) -> None:
    with pytest.raises(TypeError):
        function()
    assert ill_typed.app.actions() == ()


@pytest.mark.parametrize(
    ("action", "payload", "result"),
    [
        ("report", {"pages": 2}, {"rows": 2}),
        ("sum", [1, 2.5], {"total": 3.5}),
        ("distance", {"x": 3, "y": 4}, 5.0),
        ("echo", [None], [None]),
        ("ping", None, None),
        ("anything", "x", "x"),
        ("greet", "Ada", "Hello, Ada"),
        ("service", 1, 6),
    ],
)
async def test_what_it_finds_nothing_in_runs(action: str, payload: Any, result: Any) -> None:
    run = await run_handler(well_typed.handlers, payload, action=action)
    assert run.error is None
    assert run.result == result


def test_nothing_of_it_is_left_out() -> None:
    assert len(WRONG) >= 13
    assert len(well_typed.handlers.actions()) == 8
