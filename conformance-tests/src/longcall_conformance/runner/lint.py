# SPDX-License-Identifier: Apache-2.0
"""What is refused in a case when it is loaded: whatever is wrong, or could never matter.

Unknown verbs and arguments, variables that nothing binds, names that nothing defines, variants and
bound names that nothing uses, steps on what has ended, checks with one name or without a demand,
faults in `fired` that no step makes, and a rejection without the control that is accepted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from .vocabulary import BOUNDS, CHECKS, DEMANDS, PREDEFINED, VERBS, Word

JsonObject = dict[str, Any]

VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")

ORDERLY: Final = frozenset((1000, 1001, 1005, 1006, 1012, 1013))
"""Close codes with which a side goes away; with any other it refuses something."""
REFUSALS: Final = frozenset(
    (
        "VALIDATION_ERROR", "UNSUPPORTED_TYPE", "UNKNOWN_ACTION", "FORBIDDEN", "NOT_FOUND",
        "CONFLICT", "PAYLOAD_TOO_LARGE", "RATE_LIMITED", "UNAUTHORIZED",
    )
)  # fmt: skip
"""Error codes that say that something was not accepted; the others say how a request ended."""


class CaseRefused(Exception):
    """The case says something that cannot be, or that could never matter."""


def lint(document: JsonObject) -> None:
    """Raises `CaseRefused` for the first thing that is wrong in a case that fits its schema."""
    _Lint(document).run()


class _Lint:
    """One case, read from its first step to its last check."""

    def __init__(self, document: JsonObject) -> None:
        self._document = document
        self._name = document["case"]
        self._bound = set(PREDEFINED)
        self._binds: dict[str, str] = {}
        self._defined: set[str] = set()
        self._ended: dict[str, str] = {}

    def run(self) -> None:
        document = self._document
        variants = document.get("variants", {})
        self._variables("variants", variants)
        self._bound |= set(variants) | set(document.get("defect", {}))
        for number, step in enumerate(document["steps"], 1):
            (verb, arguments), *_ = step.items()
            self._step(f"step {number} ({verb})", verb, arguments)
        self._checks()
        for member in ("defect", "control"):
            self._variables(member, document.get(member, {}))
        self._unused()
        verbs = {next(iter(step)) for step in document["steps"]}
        for fault in document.get("fired", ()):
            if fault not in verbs:
                raise self._refused("fired", f"no step makes the fault {fault}")
        self._rejection()

    def _refused(self, where: str, text: str) -> CaseRefused:
        return CaseRefused(f"{self._name}: {where}: {text}")

    # --- Steps ------------------------------------------------------------------------------------

    def _step(self, where: str, verb: str, arguments: Any) -> None:
        word = VERBS.get(verb)
        if word is None:
            raise self._refused(where, "there is no such verb")
        self._arguments(where, arguments, word.required, (*word.optional, "accepted"))
        self._variables(where, arguments)
        self._alternatives(where, word, arguments)
        for key in word.uses:
            name = arguments.get(key)
            if name is None:
                continue
            if name not in self._defined:
                raise self._refused(where, f"nothing defines {name}")
            if name in self._ended and not _looks_back(verb):
                raise self._refused(where, f"is never reached: {name} ended in {self._ended[name]}")
        for key in word.defines:
            if key in arguments:
                self._defined.add(arguments[key])
                self._ended.pop(arguments[key], None)
        if verb in ("raw.expect_end", "raw.expect_close", "peer.expect_end") or (
            verb in ("raw.drop", "peer.drop") and arguments["how"] in ("fin", "reset")
        ):
            self._ended[arguments["on"]] = where
        elif verb == "driver.close":
            self._ended[arguments["client"]] = where
        for name in arguments.get("bind", {}):
            self._bound.add(name)
            self._binds[name] = where

    def _alternatives(self, where: str, word: Word, arguments: JsonObject) -> None:
        for other in arguments.get("or", ()):
            if not isinstance(other, dict) or not other or set(other) - {*word.every, "or", "to"}:
                raise self._refused(where, "`or` is a list of other arguments of the same verb")

    def _arguments(
        self, where: str, arguments: Any, required: tuple[str, ...], optional: tuple[str, ...]
    ) -> None:
        if not isinstance(arguments, dict):
            raise self._refused(where, "needs an object")
        for key in required:
            if key not in arguments:
                raise self._refused(where, f"lacks {key}")
        for key in arguments:
            if key not in required and key not in optional:
                raise self._refused(where, f"does not know {key}")

    def _variables(self, where: str, node: Any) -> None:
        for variable in _variables_of(node):
            if variable not in self._bound and variable.partition(".")[0] not in self._bound:
                raise self._refused(where, f"nothing binds ${{{variable}}}")

    # --- Checks, and what nothing uses ------------------------------------------------------------

    def _checks(self) -> None:
        names = [check["check"] for check in self._document["then"]]
        if len(set(names)) != len(names):
            raise self._refused("then", "two checks share a name")
        for check in self._document["then"]:
            where = f"check {check['check']}"
            kind = next(key for key in check if key != "check")
            if kind not in CHECKS:
                raise self._refused(where, f"there is no check {kind}")
            self._arguments(where, check[kind], CHECKS[kind].required, CHECKS[kind].optional)
            self._variables(where, check[kind])
            if kind in ("events", "frames") and not {*DEMANDS, *BOUNDS} & set(check[kind]):
                raise self._refused(where, "asks for nothing: give count, at_least or equals")

    def _unused(self) -> None:
        document = self._document
        played = [document["steps"], document["then"]]
        used = {name.partition(".")[0] for name in _variables_of(played)}
        chosen = [document.get("defect", {}), document.get("control", {})]
        indirect = used | {name.partition(".")[0] for name in _variables_of(chosen)}
        for axis in document.get("variants", {}):
            if axis not in indirect:
                raise self._refused("variants", f"nothing uses the variant {axis}")
        for name in document.get("defect", {}):
            if name not in used:
                raise self._refused("defect", f"nothing uses {name}")
        for name, where in self._binds.items():
            if name not in indirect:
                raise self._refused(where, f"nothing uses {name}, which it binds")

    # --- Rejections -------------------------------------------------------------------------------

    def _rejection(self) -> None:
        document = self._document
        steps = [next(iter(step.items())) for step in document["steps"]]
        rejecting = [n for n, step in enumerate(steps, 1) if self._rejects(*step)]
        accepting = [n for n, (_, arguments) in enumerate(steps, 1) if "accepted" in arguments]
        defect, control = document.get("defect"), document.get("control")
        if not rejecting and not accepting and defect is None and control is None:
            return
        if defect is None or control is None or set(defect) != set(control):
            where = f"step {(rejecting or accepting or [1])[0]}"
            raise self._refused(
                where,
                "a rejection needs `defect` and `control`, with the same variables: the bad "
                "values, and those with which it is accepted",
            )
        if len(accepting) != 1:
            raise self._refused("control", "exactly one step says `accepted`: what comes instead")
        if defect == control:
            raise self._refused("control", "is the defect itself")
        where = f"step {accepting[0]}"
        self._accepted(where, steps[accepting[0] - 1][1]["accepted"])
        used = {name.partition(".")[0] for name in _variables_of(document["steps"][: accepting[0]])}
        for name in defect:
            if name not in used:
                raise self._refused(where, f"the defect {name} comes only after what rejects it")

    def _accepted(self, where: str, accepted: Any) -> None:
        kinds = {
            "type": {"on", "match"},
            "ev": {"handle", "client", "match"},
            "upgrade": set(),
            "status": {"match"},
        }
        if isinstance(accepted, dict):
            for kind, others in kinds.items():
                if kind in accepted and not set(accepted) - others - {kind}:
                    return
        raise self._refused(
            where,
            "`accepted` is {type, on, match}, {ev, handle, client, match}, {status, match} or "
            "{upgrade: true}",
        )

    def _rejects(self, verb: str, arguments: JsonObject) -> bool:
        """Whether a step pins an error code, a close code or a status that refuses something."""
        match = arguments.get("match", {})
        if verb == "raw.refused":
            return True
        if verb == "http.ask":
            return bool(400 <= arguments["status"] < 500)
        if verb == "raw.upgrade":
            return bool(arguments["status"] != 101)
        if verb in ("raw.expect_end", "peer.expect_end"):
            return "code" in arguments and arguments["code"] not in ORDERLY
        if verb == "raw.expect":
            # An error with `seq` is an event: how a request ended.
            return arguments["type"] == "error" and "seq" not in match
        if verb == "driver.event" and arguments["ev"] == "handle.error":
            error = match.get("err", {})
            refused = self._name.startswith("e2e/") and error.get("code") in REFUSALS
            return refused or error.get("origin") == "client"
        return False


def _looks_back(verb: str) -> bool:
    """Whether a verb may follow the end of what it names: what was seen before may be read."""
    return verb in ("driver.event", "raw.expect_end", "peer.expect_end")


def _variables_of(node: Any) -> Iterator[str]:
    yield from VARIABLE.findall(json.dumps(node, ensure_ascii=False))
