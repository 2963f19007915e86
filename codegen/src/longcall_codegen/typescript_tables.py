# SPDX-License-Identifier: Apache-2.0
"""The text of `codes.ts` and `states.ts`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from .model import CLIENT_ACTIONS, CloseCodeInfo, Codes, ErrorCodeInfo, StateMachine, States

ENUMS: Final[Mapping[str, str]] = {
    "error_codes": "ErrorCode",
    "request_statuses": "RequestStatus",
    "heartbeat_sides": "HeartbeatSide",
}
"""The open enumerations of the schema by the name of their table, as types of `codes.ts`."""


def codes_module(codes: Codes) -> str:
    """Returns `codes.ts`: error codes, close codes, statuses and sides of the heartbeat."""
    terminal = [f"status === {_text(s.status)}" for s in codes.request_statuses if s.terminal]
    parts = [
        _enum("ErrorCode", [(c.code, c.meaning) for c in codes.error_codes], "Why it failed."),
        _ERROR_CODE_INFO,
        _record(
            "ERROR_CODES", "KnownErrorCode", "ErrorCodeInfo", map(_error_code, codes.error_codes)
        ),
        _enum(
            "RequestStatus",
            [(s.status, s.meaning) for s in codes.request_statuses],
            "How a request stands.",
        ),
        "/** True for a status after which nothing more happens; an unknown one is none. */\n"
        "export function isTerminalStatus(status: RequestStatus): boolean {\n"
        f"  return {' || '.join(terminal) or 'false'};\n"
        "}\n",
        _enum(
            "HeartbeatSide",
            [(s.side, s.meaning) for s in codes.heartbeat_sides],
            "The side that pings.",
        ),
        _union("ClientAction", CLIENT_ACTIONS.items(), "What a client does after a close code."),
        _CLOSE_CODE_INFO,
        "/** The close codes by their names. */\n"
        "export const CLOSE_CODES = {\n"
        f"{''.join(map(_close_code, codes.close_codes))}"
        "} as const satisfies Readonly<Record<string, CloseCodeInfo>>;\n",
        "/** What a client does after any other close code, or none. */\n"
        f"export const DEFAULT_CLOSE_ACTION: ClientAction = {_text(codes.close_code_default)};\n",
        _CLOSE_ACTION,
    ]
    return "\n" + "\n".join(parts)


def states_module(states: States) -> str:
    """Returns `states.ts`: each state machine as types and a table of transitions."""
    parts = [_machine(machine) for machine in states.machines.values()]
    head = ""
    if "request" in states.machines:  # its states are the statuses: one type, not two
        head = 'import type { KnownRequestStatus } from "./codes.js";\n'
    return "\n" + head + "\n" + "\n".join(parts)


_ERROR_CODE_INFO = """\
/** What is known of an error code. */
export interface ErrorCodeInfo {
  /** Whether trying again may help, where the error itself does not say. */
  readonly retryable: boolean;
  /** The status by which HTTP says the same. */
  readonly httpStatus: number;
}
"""

_CLOSE_CODE_INFO = """\
/** What is known of a close code. */
export interface CloseCodeInfo {
  readonly code: number;
  readonly action: ClientAction;
}
"""

_CLOSE_ACTION = """\
/** Returns what a client does when the server closed with `code`, or the connection was lost. */
export function closeAction(code: number | undefined): ClientAction {
  const known = Object.values(CLOSE_CODES).find((info) => info.code === code);
  return known?.action ?? DEFAULT_CLOSE_ACTION;
}
"""


def _error_code(info: ErrorCodeInfo) -> str:
    retryable = json.dumps(info.retryable)
    return f"  {info.code}: {{ retryable: {retryable}, httpStatus: {info.http_status} }},\n"


def _close_code(info: CloseCodeInfo) -> str:
    return (
        f"  /** {info.meaning} */\n"
        f"  {info.name}: {{ code: {info.code}, action: {_text(info.client)} }},\n"
    )


def _machine(machine: StateMachine) -> str:
    name, constant = machine.name.capitalize(), machine.name.upper()
    states = [(state.name, state.meaning) for state in machine.states]
    if machine.name == "request":
        state_type = f"/** {machine.title}. */\nexport type RequestState = KnownRequestStatus;\n"
    else:
        state_type = _union(f"{name}State", states, f"{machine.title}.")
    events = [(event.name, event.meaning) for event in machine.events]
    rows = "".join(
        f"  {state.name}: {{ {_moves(machine, state.name)} }},\n" for state in machine.states
    )
    terminal = ", ".join(_text(state.name) for state in machine.states if state.terminal)
    return "\n".join(
        [
            state_type,
            _union(f"{name}Event", events, f"{machine.title}: what happens to it."),
            f"/** {machine.title}: the state in which it begins. */\n"
            f"export const {constant}_INITIAL: {name}State = {_text(machine.initial)};\n",
            f"/** {machine.title}: the states that have no way out. */\n"
            f"export const {constant}_TERMINAL: readonly {name}State[] = [{terminal}];\n",
            f"/** {machine.title}: by state and event the next state; others do not happen. */\n"
            f"export const {constant}_TRANSITIONS: Readonly<\n"
            f"  Record<{name}State, Readonly<Partial<Record<{name}Event, {name}State>>>>\n"
            f"> = {{\n{rows}}};\n",
        ]
    )


def _moves(machine: StateMachine, source: str) -> str:
    return ", ".join(
        f"{move.event}: {_text(move.target)}"
        for move in machine.transitions
        if move.source == source
    )


def _enum(name: str, values: Iterable[tuple[str, str]], doc: str) -> str:
    """An open enumeration: the known values, and any other text beside them."""
    known = _union(f"Known{name}", values, f"{doc} What is known today.")
    return (
        f"{known}\n/** {doc} Open: a later version may send others. */\n"
        f"export type {name} = Known{name} | (string & {{}});\n"
    )


def _union(name: str, values: Iterable[tuple[str, str]], doc: str) -> str:
    items = list(values)
    lines = "".join(f" * - `{value}`: {meaning}\n" for value, meaning in items)
    union = " | ".join(_text(value) for value, _ in items)
    return f"/**\n * {doc}\n *\n{lines} */\nexport type {name} = {union};\n"


def _record(name: str, key: str, value: str, rows: Iterable[str]) -> str:
    return (
        "/** What is known of each error code. */\n"
        f"export const {name}: Readonly<Record<{key}, {value}>> = {{\n{''.join(rows)}}};\n"
    )


def _text(value: str) -> str:
    return json.dumps(value)
