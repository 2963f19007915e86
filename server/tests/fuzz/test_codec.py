# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import given, settings

from fuzz.codec_target import check
from fuzz.texts import TEXTS


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_the_codec_says_of_any_text_what_the_protocol_says(data: bytes) -> None:
    check(data)
