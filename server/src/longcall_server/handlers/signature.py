# SPDX-License-Identifier: Apache-2.0
"""What a function says of itself: how it is called, what it takes and returns, where it stands."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, get_type_hints

from pydantic import JsonValue, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError

from longcall_server.handlers.context import RequestContext
from longcall_server.handlers.encoding import ANY
from longcall_server.handlers.errors import RegistrationError
from longcall_server.handlers.sync_context import SyncRequestContext

_NOTHING: Final[TypeAdapter[Any]] = TypeAdapter(None)


@dataclass(frozen=True, slots=True)
class Signature:
    """How a handler is called."""

    is_coroutine: bool
    takes_payload: bool
    payload_adapter: TypeAdapter[Any]
    result_adapter: TypeAdapter[Any]


def signature_of(action: str, function: Callable[..., Any]) -> Signature:
    """Reads a handler's signature; raises `RegistrationError` for what is no handler."""
    if not callable(function):
        raise RegistrationError(f"{action}: {function!r} is not a function")
    target = function if inspect.isroutine(function) else _unwrapped(function)
    if inspect.isasyncgenfunction(target) or inspect.isgeneratorfunction(target):
        raise RegistrationError(f"{action}: a handler returns its result; use ctx.chunk, not yield")
    is_coroutine = inspect.iscoroutinefunction(target)
    hints = _hints(action, target)
    parameters = _parameters(action, function)
    _check_context(action, parameters[0], hints, is_coroutine=is_coroutine)
    takes_payload = len(parameters) == 2
    payload_adapter = _NOTHING
    if takes_payload:
        name = parameters[1].name
        if name not in hints:
            raise RegistrationError(
                f"{action}: annotate the parameter {name!r}, with JsonValue for any JSON value"
            )
        payload_adapter = _adapter(action, f"parameter {name!r}", hints[name])
    result_adapter = _adapter(action, "result", hints.get("return", Any))
    return Signature(is_coroutine, takes_payload, payload_adapter, result_adapter)


@dataclass(frozen=True, slots=True)
class Place:
    """Where another process finds a function: the module that it imports, and the name there."""

    module: str
    name: str

    @classmethod
    def of(cls, action: str, function: Callable[..., Any]) -> Place:
        """The place of a function; raises `RegistrationError` if it has none."""
        if not inspect.isfunction(function):
            raise RegistrationError(
                f"{action}: a process finds its handler by module and name, which {function!r} "
                "does not have: register a function"
            )
        module, name = function.__module__, function.__qualname__
        if "<" in name:
            kind = "lambda" if name.endswith("<lambda>") else "function inside of another"
            raise RegistrationError(
                f"{action}: a process cannot find a {kind} ({name}): define it at the top of a "
                "module"
            )
        if module == "__main__":
            raise RegistrationError(
                f"{action}: a process cannot import __main__: move {name} into a module of its own"
            )
        return cls(module, name)

    def find(self) -> Any:
        """What stands there in this process; the module has been imported.

        Raises `AttributeError` if nothing does.
        """
        found: Any = sys.modules[self.module]
        for part in self.name.split("."):
            found = getattr(found, part)
        return found

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


def _unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """What says whether a callable object is a coroutine function, and its annotations."""
    inner = getattr(function, "func", None)  # functools.partial
    if callable(inner):
        return _unwrapped(inner)
    return function if inspect.isroutine(function) else type(function).__call__


def _hints(action: str, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:
        raise RegistrationError(f"{action}: an annotation cannot be resolved: {error}") from error


def _parameters(action: str, function: Callable[..., Any]) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    for parameter in parameters:
        if parameter.kind not in positional:
            raise RegistrationError(
                f"{action}: a handler takes ctx and a payload; {parameter} is neither"
            )
    if not 1 <= len(parameters) <= 2:
        names = ", ".join(str(parameter) for parameter in parameters)
        raise RegistrationError(f"{action}: a handler takes ctx and a payload, not ({names})")
    for parameter in parameters:
        if parameter.default is not inspect.Parameter.empty:
            raise RegistrationError(
                f"{action}: {parameter.name!r} has a default, which would never be used; "
                "an absent payload is null: annotate it as `… | None`"
            )
    return parameters


def _check_context(
    action: str, parameter: inspect.Parameter, hints: dict[str, Any], *, is_coroutine: bool
) -> None:
    wanted = RequestContext if is_coroutine else SyncRequestContext
    other = SyncRequestContext if is_coroutine else RequestContext
    found = hints.get(parameter.name, wanted)
    if found is other:
        kind = "an async def" if is_coroutine else "a plain def"
        raise RegistrationError(f"{action}: {kind} takes a {wanted.__name__}")
    if not (isinstance(found, type) and issubclass(wanted, found)) and found is not Any:
        raise RegistrationError(
            f"{action}: the first parameter is the {wanted.__name__}, not {found!r}"
        )


def _adapter(action: str, what: str, annotation: Any) -> TypeAdapter[Any]:
    # Text that has been parsed is a JsonValue by definition; pydantic need not prove it again.
    if annotation is JsonValue or annotation is Any:
        return ANY
    try:
        return TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        reason = str(error).splitlines()[0]
        raise RegistrationError(f"{action}: no JSON for the {what}: {reason}") from error


def first_line(function: Callable[..., Any]) -> str:
    """The first line of a function's docstring, "" if it has none."""
    return (
        (inspect.getdoc(function) or "").partition("\n")[0] if inspect.isroutine(function) else ""
    )
