# SPDX-License-Identifier: Apache-2.0
"""The registry: which action is answered by which function, how often it is tried, what it takes.

Whatever is wrong with a handler is said when it is registered, which is when its module is
imported, and not when it is called for the first time.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Final, Literal, TypeVar, get_type_hints

from pydantic import JsonValue, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError

from longcall_server.core.lifecycle import RetryPolicy
from longcall_server.core.scheduling import ConcurrencyLimits
from longcall_server.handlers.context import RequestContext
from longcall_server.handlers.encoding import ANY
from longcall_server.handlers.errors import RegistrationError
from longcall_server.handlers.sync_context import SyncRequestContext

ACTION_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,127}", re.ASCII)
F = TypeVar("F", bound=Callable[..., Any])
_NOTHING: Final[TypeAdapter[Any]] = TypeAdapter(None)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before another attempt: full jitter under a bound that doubles."""

    initial: timedelta = timedelta(seconds=1)
    """Bound of the wait after the first failure."""
    maximum: timedelta = timedelta(seconds=60)
    """Bound of every wait."""


@dataclass(frozen=True)
class Registration:
    """One action, its handler and its policy. Durations in milliseconds."""

    action: str
    function: Callable[..., Any]
    is_coroutine: bool
    takes_payload: bool
    durable: bool
    policy: RetryPolicy
    deadline_ms: int | None
    """From acceptance to TIMEOUT; None for no deadline of the action's own."""
    retention_ms: int | None
    """How long a finished request is kept; None for the server's default."""
    cancel_grace_ms: int
    sync_window_ms: int | None
    """How long a quick handler may take before it is stored; None for the server's default."""
    concurrency: int | None
    """How many of its requests run at once over all workers; None for no limit of its own."""
    description: str
    payload_adapter: TypeAdapter[Any]
    result_adapter: TypeAdapter[Any]

    def validate(self, payload: str) -> object:
        """The payload as the handler takes it; raises pydantic's `ValidationError`."""
        return self.payload_adapter.validate_json(payload)

    @cached_property
    def payload_schema(self) -> dict[str, Any]:
        """The JSON Schema of the payload; made when it is first asked for."""
        return self.payload_adapter.json_schema(mode="validation")

    @cached_property
    def result_schema(self) -> dict[str, Any]:
        """The JSON Schema of the result; made when it is first asked for."""
        return self.result_adapter.json_schema(mode="serialization")


class Handlers:
    """The handlers of an application, by action."""

    def __init__(self) -> None:
        self._registrations: dict[str, Registration] = {}

    def register(
        self,
        action: str,
        *,
        durable: bool = True,
        attempts: int = 3,
        backoff: Backoff = Backoff(),
        deadline: timedelta | None = None,
        retention: timedelta | None = None,
        cancel_grace: timedelta = timedelta(seconds=10),
        sync_window: timedelta | None = None,
        concurrency: int | None = None,
        description: str = "",
    ) -> Callable[[F], F]:
        """Registers the decorated function, `def handler(ctx, payload) -> result`.

        An `async def` takes a `RequestContext`, a plain `def` a `SyncRequestContext` and runs in a
        thread. The types of payload and result are read from the annotations; without a second
        parameter the action takes no payload. `durable=False` makes a quick handler, which must be
        safe to repeat: it is answered at once and stored only if it takes longer than
        `sync_window` (default: the server's). `deadline` counts from acceptance (default: none),
        `retention` from the end (default: the server's, 24 h). `concurrency` limits how many stored
        requests of the action run at once, over all workers of the store (default: no limit).
        Raises `RegistrationError`.
        """
        if not _is_action_name(action):
            raise RegistrationError(
                f"bad action name {action!r}: a letter, then up to 127 letters, digits, . _ or -"
            )
        if action in self._registrations:
            raise RegistrationError(f"the action {action!r} has a handler already")
        if sync_window is not None and durable:
            raise RegistrationError(f"{action}: sync_window is for durable=False only")
        if concurrency is not None and concurrency < 1:
            raise RegistrationError(f"{action}: concurrency must be 1 or more, not {concurrency!r}")
        options: dict[str, Any] = {
            "durable": durable,
            "policy": _policy(action, attempts, backoff),
            "deadline_ms": _milliseconds(action, "deadline", deadline, least=1),
            "retention_ms": _milliseconds(action, "retention", retention, least=1),
            "cancel_grace_ms": _milliseconds(action, "cancel_grace", cancel_grace),
            "sync_window_ms": _milliseconds(action, "sync_window", sync_window),
            "concurrency": concurrency,
        }

        def decorate(function: F) -> F:
            if action in self._registrations:
                raise RegistrationError(f"the action {action!r} has a handler already")
            self._registrations[action] = _registration(action, function, description, options)
            return function

        return decorate

    def get(self, action: str) -> Registration | None:
        """The handler of an action, None if there is none."""
        return self._registrations.get(action)

    def actions(self) -> tuple[str, ...]:
        """All actions, in the order of registration."""
        return tuple(self._registrations)

    def concurrency(self, per_tenant: int | None = None) -> ConcurrencyLimits:
        """What claims keep to: the limits of the actions, and one of each tenant."""
        per_action = {
            action: registration.concurrency
            for action, registration in self._registrations.items()
            if registration.concurrency is not None
        }
        return ConcurrencyLimits(per_tenant, per_action)


def _is_action_name(name: object) -> bool:
    return isinstance(name, str) and ACTION_NAME.fullmatch(name) is not None


def _registration(
    action: str, function: Callable[..., Any], description: str, options: dict[str, Any]
) -> Registration:
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
    return Registration(
        action=action,
        function=function,
        is_coroutine=is_coroutine,
        takes_payload=takes_payload,
        description=description or _first_line(function),
        payload_adapter=payload_adapter,
        result_adapter=_adapter(action, "result", hints.get("return", Any)),
        **options,
    )


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


def _policy(action: str, attempts: int, backoff: Backoff) -> RetryPolicy:
    if attempts < 1:
        raise RegistrationError(f"{action}: attempts must be 1 or more, not {attempts!r}")
    initial = _milliseconds(action, "backoff.initial", backoff.initial)
    maximum = _milliseconds(action, "backoff.maximum", backoff.maximum)
    assert initial is not None
    assert maximum is not None
    return RetryPolicy(attempts, initial, maximum)


def _milliseconds(
    action: str,
    option: Literal[
        "deadline", "retention", "cancel_grace", "sync_window", "backoff.initial", "backoff.maximum"
    ],
    value: timedelta | None,
    *,
    least: int = 0,
) -> int | None:
    if value is None:
        return None
    if not isinstance(value, timedelta):
        raise RegistrationError(f"{action}: {option} must be a timedelta, not {value!r}")
    count = value // timedelta(milliseconds=1)
    if count < least:
        raise RegistrationError(f"{action}: {option} must be {least} ms or more, not {count} ms")
    return count


def _first_line(function: Callable[..., Any]) -> str:
    return (
        (inspect.getdoc(function) or "").partition("\n")[0] if inspect.isroutine(function) else ""
    )
