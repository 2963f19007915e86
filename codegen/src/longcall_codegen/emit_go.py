# SPDX-License-Identifier: Apache-2.0
"""Go: sealed message interfaces with one-pass decoders, code tables and state tables.

The templates in `go/` hold the shape of the files; this module prepares their words. `gofmt` has
the last one.
"""

from __future__ import annotations

import shutil
import subprocess
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from .errors import ToolFailed, ToolMissing
from .go_types import FieldCode, field_code, go_name, pattern_name
from .model import Bundle, Codes, Definition, Direction, ObjectType, States, StringType

NAME = "go"

WIRE = PurePosixPath("sdk-go/internal/wire")
ROOT = PurePosixPath("sdk-go")

GENERATED = (f"{ROOT}/*.go", f"{WIRE}/*.go")

_ACTIONS = {
    "reconnect": "actionReconnect",
    "reconnect_with_fresh_token": "actionReconnectWithFreshToken",
    "stop": "actionStop",
}


def emit(bundle: Bundle, codes: Codes, states: States, root: Path) -> Mapping[PurePosixPath, str]:
    """Returns the text of each generated Go file by its path in the checkout."""
    environment = Environment(
        loader=PackageLoader("longcall_codegen", "go"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )

    def render(template: str, **words: Any) -> str:
        return _gofmt(environment.get_template(f"{template}.go.jinja").render(**words))

    return {
        WIRE / "messages.go": render("messages", **_message_words(bundle)),
        ROOT / "states.go": render("states", machines=_machine_words(states)),
        ROOT / "codes.go": render("codes", **_code_words(codes)),
    }


@dataclass(frozen=True)
class _Object:
    """A struct: a message (with `type` and `sides`) or a part of one."""

    name: str
    comment: str
    fields: tuple[FieldCode, ...]
    required: tuple[str, ...]
    type: str | None
    sides: tuple[str, ...]


def _message_words(bundle: Bundle) -> dict[str, Any]:
    definitions = bundle.definitions.values()
    objects = [_object(d, bundle) for d in definitions if isinstance(d.type, ObjectType)]
    patterns = [
        (pattern_name(d.name), d.type.pattern)
        for d in definitions
        if isinstance(d.type, StringType) and d.type.pattern is not None
    ]
    inline = [
        (pattern_name(f"{d.name}_{field.name}"), field.type.pattern)
        for d in definitions
        if isinstance(d.type, ObjectType)
        for field in d.type.fields
        if isinstance(field.type, StringType) and field.type.pattern is not None
    ]
    return {
        "objects": objects,
        "messages": [item for item in objects if item.type is not None],
        "words": _words(bundle),
        "patterns": patterns + inline,
        "sides": [
            {"name": side.value, "title": f"{side.value.capitalize()}Message"} for side in Direction
        ],
    }


def _words(bundle: Bundle) -> list[str]:
    """The names of all members, and of all messages."""
    names = set[str]()
    for definition in bundle.definitions.values():
        if isinstance(definition.type, ObjectType):
            names |= {field.name for field in definition.type.fields}
            if definition.wire_type is not None:
                names.add(definition.wire_type)
    return sorted(names)


def _object(definition: Definition, bundle: Bundle) -> _Object:
    assert isinstance(definition.type, ObjectType)
    fields = [f for f in definition.type.fields if not _is_tag(definition, f.name)]
    codes = tuple(field_code(field, definition.name, bundle) for field in fields)
    return _Object(
        name=definition.name,
        comment=comment(f"{definition.name}: {definition.description}"),
        fields=codes,
        required=tuple(field.key for field in codes if not field.optional),
        type=definition.wire_type,
        sides=tuple(side.value for side in definition.directions),
    )


def _is_tag(definition: Definition, field: str) -> bool:
    return definition.wire_type is not None and field == "type"


def _code_words(codes: Codes) -> dict[str, Any]:
    return {
        "error_codes": [
            {"go_name": f"Code{go_name(c.code.lower())}", "code": c.code}
            | {"sentinel": f"Err{go_name(c.code.lower().removesuffix('_error'))}"}
            | {"meaning": c.meaning, "retryable": c.retryable}
            for c in codes.error_codes
        ],
        "statuses": [
            {"go_name": f"Status{go_name(s.status)}", "status": s.status}
            | {"meaning": s.meaning, "terminal": s.terminal}
            for s in codes.request_statuses
        ],
        "close_codes": [
            {"go_name": f"Close{go_name(c.name.lower())}", "code": c.code}
            | {"meaning": c.meaning, "go_action": _ACTIONS[c.client]}
            for c in codes.close_codes
        ],
        "heartbeat_sides": [
            {"go_name": f"heartbeatFrom{go_name(h.side)}", "side": h.side, "meaning": h.meaning}
            for h in codes.heartbeat_sides
        ],
        "default_action": _ACTIONS[codes.close_code_default],
    }


def _machine_words(states: States) -> list[dict[str, Any]]:
    """The machines that a client moves. A request is moved by the server alone: its statuses are
    a code table, and nothing here asks for its transitions.
    """
    return [
        {
            "name": go_name(machine.name),
            "event": f"{machine.name}Event",
            "title": machine.title,
            "variable": f"{machine.name}Transitions",
            "initial": f"{machine.name}Initial",
            "initial_state": _state_name(machine.name, machine.initial),
            "states": [
                {"go_name": _state_name(machine.name, s.name), "state": s.name}
                | {"meaning": s.meaning, "terminal": s.terminal}
                for s in machine.states
            ],
            "events": [
                {"go_name": f"{machine.name}On{go_name(e.name)}", "event": e.name}
                | {"meaning": e.meaning}
                for e in machine.events
            ],
            "transitions": [
                {"from_name": _state_name(machine.name, t.source)}
                | {"event_name": f"{machine.name}On{go_name(t.event)}"}
                | {"to_name": _state_name(machine.name, t.target)}
                for t in machine.transitions
            ],
        }
        for machine in states.machines.values()
        if machine.name != "request"
    ]


def _state_name(machine: str, state: str) -> str:
    return f"{go_name(machine)}{go_name(state)}"


def comment(text: str) -> str:
    """Returns the text as a Go comment, wrapped."""
    return "\n".join(f"// {line}" for line in textwrap.wrap(text, 100))


def _gofmt(text: str) -> str:
    gofmt = shutil.which("gofmt")
    if gofmt is None:
        raise ToolMissing("gofmt is not on PATH: install Go 1.24 or newer (https://go.dev/dl)")
    done = subprocess.run([gofmt], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolFailed(f"gofmt does not take what the Go templates made: {done.stderr}")
    return done.stdout
