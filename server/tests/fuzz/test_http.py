# SPDX-License-Identifier: Apache-2.0
"""Any `Range` and any `Authorization`: what is understood is right, and all else is ignored."""

from __future__ import annotations

import re

from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st

from longcall_server.gateway.callers import bearer_token
from longcall_server.gateway.http import _range
from longcall_server.stores.base import StoredFile

NUMBERS = st.integers(0, 40).map(str) | st.sampled_from(["", "00", "9" * 18, "9" * 19, "9" * 400])
RANGES = st.one_of(
    st.builds(lambda first, last: f"bytes={first}-{last}", NUMBERS, NUMBERS),
    st.builds(
        lambda unit, first, dash, last: f"{unit}{first}{dash}{last}",
        st.sampled_from(["bytes=", "Bytes=", "bytes =", "bytes= ", "items=", "", "bytes"]),
        NUMBERS,
        st.sampled_from(["-", "--", " - ", ",", "-1-", "\u2013"]),
        NUMBERS,
    ),
    st.lists(NUMBERS, max_size=3).map(lambda numbers: "bytes=" + "-,".join(numbers)),
    st.text(st.characters(blacklist_characters="\r\n\x00", codec="utf-8"), max_size=12),
)


@settings(deadline=None)
@given(RANGES, st.integers(0, 30), st.sampled_from([None, '"abc"', '"other"', "abc", 'W/"abc"']))
def test_a_range_is_the_bytes_that_it_names_or_it_is_ignored(
    text: str, size: int, condition: str | None
) -> None:
    headers = {"Range": text, **({} if condition is None else {"If-Range": condition})}
    stored = StoredFile("n", "text/plain", size, "abc", "where")
    found = _range(make_mocked_request("GET", "/", headers=headers), stored)
    if found is None:
        return
    start, end = found
    assert condition in (None, '"abc"'), "what is conditional must fit"
    # RFC 9110, 14.1.2: no white space within a range.
    exact = re.fullmatch(r"(?ai:bytes)=([0-9]*)-([0-9]*)", text.strip())
    assert exact is not None, "what is not understood is ignored"
    first, last = exact.groups()
    everything = range(size)
    if first:
        wanted = everything[int(first) : int(last) + 1 if last else None]
    else:
        wanted = everything[max(0, size - int(last)) :]
    assert list(range(start, min(end, size))) == list(wanted)
    if wanted:
        assert 0 <= start < end <= size


@settings(deadline=None)
@given(st.text(st.characters(blacklist_characters="\r\n\x00", codec="utf-8"), max_size=24))
def test_a_bearer_token_is_what_follows_the_scheme(text: str) -> None:
    for header in (text, f"Bearer {text}", f"bearer  {text}", f"Basic {text}"):
        found = bearer_token(make_mocked_request("GET", "/", headers={"Authorization": header}))
        if found is not None:
            assert header.lower().startswith("bearer ")
            assert found
            assert found == found.strip()
            assert header.rstrip().endswith(found)
