# SPDX-License-Identifier: Apache-2.0
"""Durations as operators write them: `500ms`, `30s`, `5m`, `24h`, `7d`, or a number of seconds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|)")
_MAX_DURATION = timedelta(days=36500)


def parse_duration(value: object) -> object:
    """`"90s"` or `90` → a timedelta; anything else is left for pydantic to refuse."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    match = _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise ValueError("write a duration as 500ms, 30s, 5m, 24h, 7d or a number of seconds")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > _MAX_DURATION.total_seconds():
        raise ValueError(f"longer than {_MAX_DURATION.days} days")
    return timedelta(seconds=seconds)


def milliseconds(duration: timedelta) -> int:
    """A duration as the protocol and the stores count it."""
    return duration // timedelta(milliseconds=1)


def duration_text(duration: timedelta) -> str:
    """A duration as an operator would write it: `2s`, `24h`, `7d`."""
    count = milliseconds(duration)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return f"{count}ms"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), Field(ge=timedelta(0))]
PositiveDuration = Annotated[
    timedelta, BeforeValidator(parse_duration), Field(ge=timedelta(milliseconds=1))
]
