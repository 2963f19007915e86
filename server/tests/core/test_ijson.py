# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longcall_server.core.errors import JsonDefect
from longcall_server.core.ijson import (
    check_json,
    find_defect,
    has_more_values,
    is_suspicious,
    most_values,
    parse,
)

DEPTH = 5
NUMBERS = st.sampled_from(
    [
        *("0", "-0", "9007199254740991", "9007199254740992", "-9007199254740993", "12.5"),
        *("1e308", "1E400", "-1e0400", "1e+309", "123456789012345678.5", "0.1e-400"),
    ]
)
STRINGS = st.sampled_from(['"a"', '"[[[[[[[["', '"\\\\"', '"\\"{{{{{{"', '"1e999"', '"NaN"'])
LONG = st.just("1" * 400 + ".5")
SURROGATES = st.sampled_from(['"\\ud800"', '"\\uDFFF"', '"\\ud83d\\ude00"', '"\\\\ud800"'])
TEXTS = st.recursive(
    NUMBERS | LONG | STRINGS | SURROGATES | st.sampled_from(["null", "true", "[]", "{}"]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | inner.map(lambda item: f'{{"k":\n{item}}}')
    ),
    max_leaves=8,
)


def _has_defect(value: Any, depth: int) -> bool:
    """What I-JSON refuses, said once more and plainly."""
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, int):
        return abs(value) > 2**53 - 1
    if isinstance(value, float):
        return math.isinf(value)
    if isinstance(value, str):
        return any(0xD800 <= ord(character) <= 0xDFFF for character in value)
    if depth > DEPTH:
        return True
    inner = value if isinstance(value, list) else [*value.keys(), *value.values()]
    return any(_has_defect(item, depth + 1) for item in inner)


@pytest.mark.clause("2.3.5", "2.3.6", "2.3.8", "2.3.12")
@given(TEXTS)
def test_the_quick_look_never_misses_a_defect_and_the_slow_one_finds_exactly_those(
    text: str,
) -> None:
    expected = _has_defect(json.loads(text), 1)
    found = find_defect(parse(text, DEPTH), DEPTH)
    assert (found is not None) == expected
    if expected:
        # In a message a number always stands behind a colon, a comma or a bracket.
        assert is_suspicious(f"[{text}]".encode(), DEPTH + 1)


@pytest.mark.clause("2.3.9", "2.3.12")
@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ('{"a/b":{"~":[0,{"x":1e400}]}}', "/a~1b/~0/1/x"),
        ('{"a":[1,9007199254740992],"a":1}', "/a/1"),
        ('{"a":{"\\ud800":1}}', "/a"),
        ('{"\\ud800":1}', ""),
        ('{"a":"\\udc00"}', "/a"),
        ("[[[[[[1]]]]]]", "/0/0/0/0/0"),
    ],
)
def test_a_defect_is_named_by_its_json_pointer(text: str, pointer: str) -> None:
    with pytest.raises(JsonDefect) as caught:
        check_json(text, max_depth=DEPTH)
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    "text", ["", "nul", "NaN", "[Infinity]", "\ufeff{}", "{} {}", "'a'", '{"a":1,}', '"\n"', "01"]
)
def test_what_is_not_json_has_no_pointer(text: str) -> None:
    with pytest.raises(JsonDefect) as caught:
        check_json(text, max_depth=DEPTH)
    assert caught.value.pointer is None


def test_a_text_too_deep_for_the_parser_is_still_read_up_to_the_first_defect() -> None:
    deep = '{"k":' * 20_000 + "[" * 20_000 + "]" * 20_000 + "}" * 20_000
    root = parse(f'{{"type":"ping","x":{deep}}}', DEPTH)
    assert root.last("type") == "ping"
    defect = find_defect(root, DEPTH)
    assert defect is not None
    assert defect.pointer == "/x/k/k/k/k"


def test_brackets_in_strings_and_escaped_quotes_are_no_depth() -> None:
    text = json.dumps({"a": "[{" * 100, 'b"\\': "\\\\[[[[[[[[", "c": [[[1]]]})
    assert not is_suspicious(text.encode(), 4)
    assert is_suspicious(text.encode(), 3)


def _values(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value
    return 1 + sum(map(_values, inner)) if isinstance(value, dict | list) else 1


@pytest.mark.clause("2.3.16")
@given(
    st.recursive(
        st.none() | st.text(alphabet='a"\\,[]{}: é', max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text('",[\\'), inner, max_size=3)
        ),
        max_leaves=20,
    ),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_values_are_counted_exactly_however_they_are_written(
    value: Any, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    count = _values(value)
    assert not has_more_values(text.encode(), count)
    assert has_more_values(text.encode(), count - 1)
    assert most_values(text) >= count
