# SPDX-License-Identifier: Apache-2.0
"""Both front ends have the same names, arguments and errors. What differs is listed here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, get_overloads

import pytest

import longcall.asyncio
import longcall.sync

ASYNC_NAMES = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
}
"""Methods of the language that bear another name."""

ASYNC_ALONE = {
    "longcall.asyncio": {"EventIterator", "MapIterator"},  # plain generators there
    "Client": set[str](),
    "RequestHandle": {"__await__"},  # result()
}
"""What makes no sense without `await`."""

TYPES = [
    (r"AsyncGenerator\[(.*), None\]", r"Generator[\1, None, None]"),
    (r"EventIterator\[(.*)\]", r"Generator[Event[\1], None, None]"),
    (r"MapIterator\[(.*)\]", r"Generator[MapItem[\1], None, None]"),
    (r" \| AsyncIterable\[\w+\]", ""),
]
"""Types that are another's in `longcall.sync`."""


def members(cls: type) -> dict[str, Any]:
    """The public members that a class itself defines, and its methods of the language."""
    return {
        name: member
        for name, member in vars(cls).items()
        if not name.startswith("_") or (name.startswith("__") and inspect.isfunction(member))
    }


def shape(function: Callable[..., Any]) -> list[tuple[str, str, Any, str]]:
    """A signature as data, in the words of `longcall.sync`."""
    signature = inspect.signature(function)
    parameters = [
        (parameter.name, parameter.kind.name, parameter.default, words(parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    return [*parameters, ("return", "", None, words(signature.return_annotation))]


def words(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else repr(annotation)
    for theirs, ours in TYPES:
        text = re.sub(theirs, ours, text)
    return text


def raises(function: Callable[..., Any]) -> list[str]:
    """The errors that a docstring promises."""
    text = inspect.getdoc(function) or ""
    _, _, section = text.partition("Raises:\n")
    return re.findall(r"^    (\w+):", section, re.MULTILINE)


def function_of(member: Any) -> Callable[..., Any] | None:
    if isinstance(member, property):
        member = member.fget
    return member if inspect.isfunction(member) else None


PAIRS = [
    (cls, name)
    for cls in ("Client", "RequestHandle")
    for name in members(getattr(longcall.asyncio, cls))
    if name not in ASYNC_ALONE[cls] and name != "__init__"
]


def pair(cls: str, name: str) -> tuple[Any, Any]:
    theirs = members(getattr(longcall.asyncio, cls))[name]
    return theirs, members(getattr(longcall.sync, cls))[ASYNC_NAMES.get(name, name)]


def test_both_modules_have_the_same_names() -> None:
    theirs = set(longcall.asyncio.__all__) - ASYNC_ALONE["longcall.asyncio"]
    assert theirs == set(longcall.sync.__all__)


@pytest.mark.complaint(22)
@pytest.mark.parametrize("cls", ["Client", "RequestHandle"])
def test_both_classes_have_the_same_members(cls: str) -> None:
    theirs = members(getattr(longcall.asyncio, cls)).keys() - ASYNC_ALONE[cls]
    assert {ASYNC_NAMES.get(name, name) for name in theirs} == members(
        getattr(longcall.sync, cls)
    ).keys()


@pytest.mark.complaint(22)
@pytest.mark.parametrize("cls,name", PAIRS)
def test_members_have_the_same_arguments_and_errors(cls: str, name: str) -> None:
    theirs, ours = pair(cls, name)
    assert type(theirs) is type(ours)
    asyncio_function, sync_function = function_of(theirs), function_of(ours)
    assert (asyncio_function is None) == (sync_function is None)
    if asyncio_function is None or sync_function is None:
        return
    assert shape(asyncio_function) == shape(sync_function)
    assert raises(asyncio_function) == raises(sync_function)
    assert [shape(one) for one in get_overloads(asyncio_function)] == [
        shape(one) for one in get_overloads(sync_function)
    ]


def test_connect_has_the_same_arguments_and_errors() -> None:
    theirs, ours = longcall.asyncio.connect, longcall.sync.connect
    assert shape(theirs) == shape(ours)
    assert raises(theirs) == raises(ours) != []
    assert shape(longcall.asyncio.Client.__init__) == shape(longcall.sync.Client.__init__)


def test_nothing_that_waits_is_hidden_from_the_comparison() -> None:
    waiting = {name for _, name in PAIRS}
    assert {"call", "submit", "ready", "states", "requests", "result", "download"} <= waiting
    assert "WaitTimeout" in raises(longcall.asyncio.Client.call)
