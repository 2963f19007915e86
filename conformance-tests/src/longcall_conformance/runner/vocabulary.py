# SPDX-License-Identifier: Apache-2.0
"""The words of cases: verbs of steps, kinds of checks, and what each of them takes.

A verb is a function of `verbs/`, entered here by its decorator; a new verb is a new function:

    @verb("peer.send", required=("on", "message"), uses=("on",))
    async def send(play: Play, arguments: JsonObject) -> None: ...
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .play import Play

JsonObject = dict[str, Any]
Action = Callable[["Play", JsonObject], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Word:
    """What a verb or a check takes; `defines` and `uses` are arguments that name something."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    defines: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()

    @property
    def every(self) -> tuple[str, ...]:
        """All arguments."""
        return (*self.required, *self.optional)


@dataclass(frozen=True)
class Verb(Word):
    """A word that does something: `action` is what a play does with the filled in arguments."""

    action: Action = field(kw_only=True)
    feature: str | None = field(default=None, kw_only=True)
    """What a driver must have for it, beyond what all have."""
    inspect: Callable[[JsonObject], object] | None = field(default=None, kw_only=True)
    """Raises `ValueError` for arguments that cannot be, when the case is loaded."""
    patience: int = field(default=0, kw_only=True)
    """Seconds that it may take at least, however impatient the case is."""


VERBS: dict[str, Verb] = {}


def verb(
    name: str,
    *,
    required: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
    defines: tuple[str, ...] = (),
    uses: tuple[str, ...] = (),
    feature: str | None = None,
    inspect: Callable[[JsonObject], object] | None = None,
    patience: int = 0,
) -> Callable[[Action], Action]:
    """Enters a function as the verb `name` of steps."""

    def enter(action: Action) -> Action:
        assert name not in VERBS, name
        VERBS[name] = Verb(
            required,
            optional,
            defines,
            uses,
            action=action,
            feature=feature,
            inspect=inspect,
            patience=patience,
        )
        return action

    return enter


DEMANDS = ("count", "at_least", "equals")
BOUNDS = ("each_at_most", "each_at_least", "some_over")
"""Of the numbers that `select` finds: a bound for each of them, and a number that one is over."""

CHECKS: dict[str, Word] = {
    # Driver events, in order: `select` is a member of each.
    "events": Word(("ev",), ("handle", "client", "match", "after", "select", *DEMANDS, *BOUNDS)),
    # Messages that the scripted server (or a raw connection) received.
    "frames": Word(("type",), ("on", "match", "count", "at_least", "select", "equals")),
    # Sockets of the SDK at the scripted server.
    "connections": Word((), ("open", "most_open", "total")),
    # Frames that came to a fault proxy, whatever became of them, and sockets of clients at it.
    "crossed": Word(
        ("on", "direction", "type"),
        ("match", "connection", "count", "at_least", "select", "equals"),
    ),
    "proxied": Word(("on",), ("open", "total")),
    # The rows and the summary of a report, counted anew from its source file.
    "report": Word(("handle", "fixture", "group_by")),
}

PREDEFINED: tuple[str, ...] = (
    "peer.url",
    "server.url",
    "run",
    "welcome",
    "text",
    "nested",
    *(
        f"jwt.{name}"
        for name in (
            "alice", "bob", "mallory", "controller", "operator", "powerless", "wrong_key",
            "unknown_key", "expired", "alg_none", "alg_hs512", "no_exp", "no_tenant", "no_sub",
            "garbage",
        )
    ),
)  # fmt: skip
"""Variables that every case has: urls, tokens, a whole welcome, a text unique to this play;
`${text.N}` is a text of N letters, `${nested.N}` the text of N arrays in each other."""
