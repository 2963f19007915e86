# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from fuzz.session_target import check
from fuzz.texts import SCRIPTS


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCRIPTS)
def test_a_session_answers_any_script_as_the_protocol_says(data: bytes) -> None:
    check(data)
