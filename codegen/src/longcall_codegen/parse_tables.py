# SPDX-License-Identifier: Apache-2.0
"""`codes.json` and `states/*.json` as typed values."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .bundle import load_json
from .checks import check_against, refuse_repeats
from .errors import SchemaError
from .model import (
    CLIENT_ACTIONS,
    CloseCodeInfo,
    Codes,
    ErrorCodeInfo,
    Event,
    HeartbeatSideInfo,
    Json,
    State,
    StateMachine,
    States,
    StatusInfo,
    Transition,
)

_TEXT: Final[Json] = {"type": "string", "minLength": 1}


def _rows(**columns: Json) -> Json:
    return {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": list(columns),
            "properties": columns,
            "additionalProperties": False,
        },
    }


def _table(**members: Json) -> Json:
    return {
        "type": "object",
        "required": list(members),
        "properties": members,
        "additionalProperties": False,
    }


_CODES_SCHEMA: Final = _table(
    error_codes=_rows(
        code={"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"},
        meaning=_TEXT,
        retryable={"type": "boolean"},
        http_status={"type": "integer", "minimum": 400, "maximum": 599},
    ),
    close_codes=_rows(
        code={"type": "integer", "minimum": 1000, "maximum": 4999},
        name={"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"},
        meaning=_TEXT,
        client={"enum": list(CLIENT_ACTIONS)},
    ),
    close_code_default={"enum": list(CLIENT_ACTIONS)},
    request_statuses=_rows(status=_TEXT, meaning=_TEXT, terminal={"type": "boolean"}),
    heartbeat_sides=_rows(side=_TEXT, meaning=_TEXT),
)


def load_codes(path: Path) -> Codes:
    """Reads `codes.json`; raises `SchemaError` naming the place."""
    document = load_json(path)
    check_against(document, _CODES_SCHEMA, path)
    codes = Codes(
        error_codes=tuple(ErrorCodeInfo(**row) for row in document["error_codes"]),
        close_codes=tuple(CloseCodeInfo(**row) for row in document["close_codes"]),
        close_code_default=document["close_code_default"],
        request_statuses=tuple(StatusInfo(**row) for row in document["request_statuses"]),
        heartbeat_sides=tuple(HeartbeatSideInfo(**row) for row in document["heartbeat_sides"]),
    )
    refuse_repeats([info.code for info in codes.error_codes], f"{path.name}: error_codes")
    refuse_repeats([str(info.code) for info in codes.close_codes], f"{path.name}: close_codes")
    refuse_repeats([info.name for info in codes.close_codes], f"{path.name}: close_codes")
    refuse_repeats(
        [info.status for info in codes.request_statuses], f"{path.name}: request_statuses"
    )
    refuse_repeats([info.side for info in codes.heartbeat_sides], f"{path.name}: heartbeat_sides")
    return codes


# --- the state tables -------------------------------------------------------------------------

_STATES_SCHEMA: Final = _table(
    name=_TEXT,
    title=_TEXT,
    initial=_TEXT,
    states=_rows(state=_TEXT, meaning=_TEXT, terminal={"type": "boolean"}),
    events=_rows(event=_TEXT, meaning=_TEXT),
    transitions=_rows(**{"from": _TEXT, "event": _TEXT, "to": _TEXT}),
)


def load_states(folder: Path, codes: Codes) -> States:
    """Reads `states/`; raises `SchemaError` naming file and place."""
    machines = {}
    for path in sorted(folder.glob("*.json")):
        machine = _machine(path)
        if machine.name != path.stem:
            raise SchemaError(f"{path.name}: name is {machine.name}")
        machines[machine.name] = machine
    request = machines.get("request")
    if request is not None and not is_status_machine(request, codes):
        raise SchemaError("request.json: states are not the request_statuses of codes.json")
    return States(machines)


def is_status_machine(machine: StateMachine, codes: Codes) -> bool:
    """Tells whether the states of a machine are the statuses of a request."""
    statuses = {(info.status, info.terminal) for info in codes.request_statuses}
    return {(state.name, state.terminal) for state in machine.states} == statuses


def _machine(path: Path) -> StateMachine:
    document = load_json(path)
    check_against(document, _STATES_SCHEMA, path)
    machine = StateMachine(
        name=document["name"],
        title=document["title"],
        initial=document["initial"],
        states=tuple(
            State(row["state"], row["meaning"], row["terminal"]) for row in document["states"]
        ),
        events=tuple(Event(row["event"], row["meaning"]) for row in document["events"]),
        transitions=tuple(
            Transition(row["from"], row["event"], row["to"]) for row in document["transitions"]
        ),
    )
    _check_machine(machine, path.name)
    return machine


def _check_machine(machine: StateMachine, file: str) -> None:
    states = {state.name: state for state in machine.states}
    events = {event.name for event in machine.events}
    refuse_repeats([state.name for state in machine.states], f"{file}: states")
    refuse_repeats([event.name for event in machine.events], f"{file}: events")
    refuse_repeats(
        [f"({t.source}, {t.event})" for t in machine.transitions], f"{file}: transitions"
    )
    if machine.initial not in states:
        raise SchemaError(f"{file}: initial: {machine.initial} is no state")
    for transition in machine.transitions:
        place = f"{file}: transition ({transition.source}, {transition.event})"
        for name in (transition.source, transition.target):
            if name not in states:
                raise SchemaError(f"{place}: {name} is no state")
        if transition.event not in events:
            raise SchemaError(f"{place}: {transition.event} is no event")
        if states[transition.source].terminal:
            raise SchemaError(f"{place}: {transition.source} is terminal")
    used = {transition.event for transition in machine.transitions}
    for event in sorted(events - used):
        raise SchemaError(f"{file}: event {event} is in no transition")
    reached = {machine.initial, *(transition.target for transition in machine.transitions)}
    for state in sorted(set(states) - reached):
        raise SchemaError(f"{file}: state {state} cannot be reached")
