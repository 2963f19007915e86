# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import resource

import pytest

from longcall_server.gateway.descriptors import RESERVE, connections_within_limits

NO_LIMIT = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "raised", "possible"),
    [
        (1_024, 1_048_576, 20_000, 20_000 + RESERVE, 20_000),
        (1_024, NO_LIMIT, 20_000, 20_000 + RESERVE, 20_000),
        (1_024, 4_096, 20_000, 4_096, 4_096 - RESERVE),
        (1_024, 1_024, 20_000, None, 1_024 - RESERVE),
        (64, 64, 20_000, None, 1),
        (1_024, 4_096, 500, None, 500),
        (NO_LIMIT, NO_LIMIT, 20_000, None, 20_000),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_connections_need_and_may(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    soft: int,
    hard: int,
    wanted: int,
    raised: int | None,
    possible: int,
) -> None:
    caplog.set_level(logging.INFO)
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, given: limits.append(given))
    assert connections_within_limits(wanted) == possible
    assert limits[1:] == ([] if raised is None else [(raised, hard)])
    assert bool(caplog.records) is (possible < wanted)


@pytest.mark.parametrize("error", [ValueError("too high"), PermissionError("not allowed")])
def test_a_limit_that_cannot_be_raised_is_kept_to(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(_number: int, _limits: tuple[int, int]) -> None:
        raise error

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, NO_LIMIT))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert connections_within_limits(20_000) == 1_024 - RESERVE
