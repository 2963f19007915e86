# SPDX-License-Identifier: Apache-2.0
"""`codes.py` and `states.py`: the code tables and the state tables as typed Python constants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .model import CLIENT_ACTIONS, Codes, StateMachine, States
from .parse_tables import is_status_machine
from .python_text import HEADER, docstring, formatted

_CODES_HEAD: Final = (
    HEADER
    + '''\
"""The codes of the longcall protocol, with what they mean. PROTOCOL 7.

On the wire codes are open: `ErrorCode.of` and `RequestStatus.of` give None for one that a later
version added, and the text itself stays with the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final, Self
'''
)

_OF: Final = '''
    @classmethod
    def of(cls, text: str) -> Self | None:
        """Returns the member whose value is `text`; None for one that is not known here."""
        try:
            return cls(text)
        except ValueError:
            return None
'''

_ERROR_CODE_INFO: Final = '''
@dataclass(frozen=True, slots=True)
class ErrorCodeInfo:
    """What an error code means, whether trying again may help, and its status over HTTP."""

    meaning: str
    retryable: bool
    http_status: int
'''

_CLOSE_CODE_INFO: Final = '''
@dataclass(frozen=True, slots=True)
class CloseCodeInfo:
    """What a close code means and what a client does after it."""

    meaning: str
    action: ClientAction
'''

_CLOSE_ACTION: Final = '''
def close_action(code: int | None) -> ClientAction:
    """Returns what a client does after a close with `code`; None: without a close frame (1006)."""
    try:
        return CLOSE_CODES[CloseCode(code or 1006)].action
    except ValueError:
        return DEFAULT_CLOSE_ACTION
'''

_IS_TERMINAL: Final = '''
    @property
    def is_terminal(self) -> bool:
        """True when nothing comes after it."""
        return self in _TERMINAL_STATUSES
'''


def codes_module(codes: Codes) -> str:
    """Returns the text of `codes.py`."""
    parts = [
        _CODES_HEAD,
        _enum(
            "ErrorCode",
            "StrEnum",
            "Why something was refused or failed.",
            ((info.code, info.code, info.meaning) for info in codes.error_codes),
        ),
        _OF,
        _ERROR_CODE_INFO,
        _mapping(
            "ERROR_CODES",
            "Mapping[ErrorCode, ErrorCodeInfo]",
            (
                f"ErrorCode.{info.code}: ErrorCodeInfo({_text(info.meaning)}, "
                f"retryable={info.retryable}, http_status={info.http_status})"
                for info in codes.error_codes
            ),
        )
        + "\n"
        + docstring("Every error code with its meaning."),
        _enum(
            "ClientAction",
            "StrEnum",
            "What a client does after its connection was closed.",
            ((name.upper(), name, meaning) for name, meaning in CLIENT_ACTIONS.items()),
        ),
        _enum(
            "CloseCode",
            "IntEnum",
            "Why a connection was closed.",
            ((info.name, info.code, info.meaning) for info in codes.close_codes),
        ),
        _CLOSE_CODE_INFO,
        _mapping(
            "CLOSE_CODES",
            "Mapping[CloseCode, CloseCodeInfo]",
            (
                f"CloseCode.{info.name}: "
                f"CloseCodeInfo({_text(info.meaning)}, ClientAction.{info.client.upper()})"
                for info in codes.close_codes
            ),
        )
        + "\n"
        + docstring("Every close code with its meaning and what a client does after it."),
        f"DEFAULT_CLOSE_ACTION: Final = ClientAction.{codes.close_code_default.upper()}\n"
        + docstring("What a client does after any other close code, and after none."),
        _CLOSE_ACTION,
        _enum(
            "RequestStatus",
            "StrEnum",
            "The status of a request.",
            ((info.status.upper(), info.status, info.meaning) for info in codes.request_statuses),
        ),
        _OF,
        _IS_TERMINAL,
        _members(
            "_TERMINAL_STATUSES",
            "RequestStatus",
            (info.status for info in codes.request_statuses if info.terminal),
        ),
        _enum(
            "HeartbeatSide",
            "StrEnum",
            "The side that sends `ping`.",
            ((info.side.upper(), info.side, info.meaning) for info in codes.heartbeat_sides),
        ),
        _OF,
    ]
    return formatted("\n".join(parts))


def states_module(states: States, codes: Codes) -> str:
    """Returns the text of `states.py`."""
    head = [
        HEADER + docstring("The state tables of the longcall protocol. PROTOCOL 4, 5, 9."),
        "from __future__ import annotations",
        "from collections.abc import Mapping",
        "from enum import StrEnum",
        "from types import MappingProxyType",
        "from typing import Final, TypeAlias",
        "from .codes import RequestStatus",
    ]
    machines = [part for machine in states.machines.values() for part in _machine(machine, codes)]
    return formatted("\n".join([*head, *machines]))


def _machine(machine: StateMachine, codes: Codes) -> Iterable[str]:
    prefix, stem = machine.name.upper(), machine.name.title().replace("_", "")
    state, event = f"{stem}State", f"{stem}Event"
    if is_status_machine(machine, codes):
        yield f"{state}: TypeAlias = RequestStatus\n" + docstring(
            f"{machine.title}: its states are the statuses of a request."
        )
    else:
        yield _enum(
            state,
            "StrEnum",
            f"{machine.title}: the states.",
            ((item.name.upper(), item.name, item.meaning) for item in machine.states),
        )
    yield _enum(
        event,
        "StrEnum",
        f"{machine.title}: what can happen.",
        ((item.name.upper(), item.name, item.meaning) for item in machine.events),
    )
    yield f"{prefix}_INITIAL: Final = {state}.{machine.initial.upper()}\n" + docstring(
        "The first state."
    )
    terminal = (item.name for item in machine.states if item.terminal)
    yield _members(f"{prefix}_TERMINAL", state, terminal) + docstring(
        "The states without a way out."
    )
    yield (
        _mapping(
            f"{prefix}_TRANSITIONS",
            f"Mapping[tuple[{state}, {event}], {state}]",
            (
                f"({state}.{row.source.upper()}, {event}.{row.event.upper()}): "
                f"{state}.{row.target.upper()}"
                for row in machine.transitions
            ),
        )
        + "\n"
        + docstring("`(state, event) -> state`; what is not in it cannot happen.")
    )


def _enum(
    name: str, base: str, description: str, members: Iterable[tuple[str, str | int, str]]
) -> str:
    lines = [f"class {name}({base}):", docstring(description, "    "), ""]
    for member, value, meaning in members:
        literal = _text(value) if isinstance(value, str) else value
        lines += [f"    {member} = {literal}", docstring(meaning, "    ")]
    return "\n".join(lines)


def _mapping(name: str, annotation: str, rows: Iterable[str]) -> str:
    body = "".join(f"    {row},\n" for row in rows)
    return f"{name}: Final[{annotation}] = MappingProxyType({{\n{body}}})"


def _members(name: str, enum: str, members: Iterable[str]) -> str:
    body = ", ".join(f"{enum}.{member.upper()}" for member in members)
    return f"{name}: Final = frozenset({{{body}}})\n"


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
