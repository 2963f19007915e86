# SPDX-License-Identifier: Apache-2.0
"""What happens to a session, as text: a line a step, so that a case can be read, cut and spliced.

    60 5 token     messages a minute, their burst, and whether the upgrade carried a token
    > TEXT         a text frame arrives
    y 1 +3600000   the token is good, and it is principal 1's, for so many milliseconds
    n              it is not
    u              nobody can say
    + 25000        so many milliseconds pass; with -, the clock is set back
    t              time passes until something is due
    g              the server drains
    o              an operator announces something
    a              the client takes what is sent
    x              the socket is gone

Any bytes are a script: a line that is no step is a text frame.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

MAX_STEPS = 60
_HEAD = re.compile(r"([0-9]{1,6}) ([0-9]{1,3})( token)?")
_ANSWER = re.compile(r"y ([0-9]) ([+-][0-9]{1,15})")
_TIME = re.compile(r"([+-]) ([0-9]{1,12})")


@dataclass(frozen=True)
class Step:
    """One thing that happens."""

    what: Literal[
        "receive", "good", "bad", "unknown", "time", "due", "goaway", "announce", "alive", "gone"
    ]
    text: str = ""
    number: int = 0
    """Milliseconds."""
    principal: str = ""


@dataclass(frozen=True)
class Script:
    """A whole case."""

    per_minute: int
    burst: int
    transport_token: str | None
    steps: tuple[Step, ...]


def read_script(data: bytes) -> Script:
    """The script that these bytes are."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    head = _HEAD.fullmatch(lines[0])
    per_minute, burst, token = (60, 5, None) if head is None else head.groups()
    steps = lines if head is None else lines[1:]
    return Script(
        per_minute=max(1, int(per_minute)),
        burst=max(1, int(burst)),
        transport_token=None if token is None else "of.the.upgrade",
        steps=tuple(_step(line) for line in steps[:MAX_STEPS]),
    )


def _step(line: str) -> Step:
    simple: dict[str, Step] = {
        "n": Step("bad"),
        "u": Step("unknown"),
        "o": Step("announce"),
        "t": Step("due"),
        "g": Step("goaway"),
        "a": Step("alive"),
        "x": Step("gone"),
    }
    if line in simple:
        return simple[line]
    if answer := _ANSWER.fullmatch(line):
        return Step("good", number=int(answer[2]), principal=f"p{answer[1]}")
    if time := _TIME.fullmatch(line):
        return Step("time", number=int(time[1] + time[2]))
    return Step("receive", text=line.removeprefix("> "))
