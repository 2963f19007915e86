# SPDX-License-Identifier: Apache-2.0
"""The registry: which action is answered by which function, how often it is tried, what it takes.

Whatever is wrong with a handler is said when it is registered, which is when its module is
imported, and not when it is called for the first time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Final, Literal, Unpack, overload

from pydantic import TypeAdapter

from longcall_server.core.lifecycle import RetryPolicy
from longcall_server.core.scheduling import ConcurrencyLimits
from longcall_server.handlers.errors import RegistrationError
from longcall_server.handlers.functions import AnyHandlerT, HandlerOptions, SyncHandlerT
from longcall_server.handlers.policy import DEFAULT_BACKOFF, Backoff, milliseconds, retry_policy
from longcall_server.handlers.signature import Place, first_line, signature_of

ACTION_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,127}", re.ASCII)


@dataclass(frozen=True)
class Registration:
    """One action, its handler and its policy. Durations in milliseconds."""

    action: str
    function: Callable[..., Any]
    executor: Literal["coroutine", "thread", "process"]
    place: Place | None
    """Where a process finds the function; None if it runs in this one."""
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

    def check(self) -> None:
        """Raises `RegistrationError` if a process would find another function, or none."""
        if self.place is None:
            return
        try:
            found = self.place.find()
        except (KeyError, AttributeError):
            found = None
        if found is not self.function:
            raise RegistrationError(
                f"{self.action}: a process would look for {self.place} and find {found!r}, which "
                "is not the function that was registered"
            )

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

    @overload
    def register(
        self,
        action: str,
        *,
        executor: Literal["thread", "process"],
        **options: Unpack[HandlerOptions],
    ) -> Callable[[SyncHandlerT], SyncHandlerT]: ...

    @overload
    def register(
        self, action: str, *, executor: None = None, **options: Unpack[HandlerOptions]
    ) -> Callable[[AnyHandlerT], AnyHandlerT]: ...

    def register(
        self,
        action: str,
        *,
        durable: bool = True,
        attempts: int = 3,
        backoff: Backoff = DEFAULT_BACKOFF,
        deadline: timedelta | None = None,
        retention: timedelta | None = None,
        cancel_grace: timedelta = timedelta(seconds=10),
        sync_window: timedelta | None = None,
        concurrency: int | None = None,
        executor: Literal["thread", "process"] | None = None,
        description: str = "",
    ) -> Callable[[AnyHandlerT], AnyHandlerT]:
        """Registers the decorated function, `def handler(ctx, payload) -> result`.

        An `async def` takes a `RequestContext` and runs on the event loop; a plain `def` takes a
        `SyncRequestContext` and runs in a thread, or with `executor="process"` in a process of the
        server's pool, which imports its module and finds it there by its name. The types of payload
        and result are read from the annotations; without a second parameter the action takes no
        payload. `durable=False` makes a quick handler, which must be safe to repeat: it is answered
        at once and stored only if it takes longer than `sync_window` (default: the server's).
        `deadline` counts from acceptance (default: none), `retention` from the end (default: the
        server's, 24 h). `concurrency` limits how many stored requests of the action run at once,
        over all workers of the store (default: no limit). Raises `RegistrationError`.
        """
        if not _is_action_name(action):
            raise RegistrationError(
                f"bad action name {action!r}: a letter, then up to 127 letters, digits, . _ or -"
            )
        if action in self._registrations:
            raise RegistrationError(f"the action {action!r} has a handler already")
        if sync_window is not None and durable:
            raise RegistrationError(f"{action}: sync_window is for durable=False only")
        if executor not in (None, "thread", "process"):
            raise RegistrationError(
                f"{action}: executor is 'thread' or 'process', not {executor!r}"
            )
        if concurrency is not None and concurrency < 1:
            raise RegistrationError(f"{action}: concurrency must be 1 or more, not {concurrency!r}")
        options: dict[str, Any] = {
            "durable": durable,
            "policy": retry_policy(action, attempts, backoff),
            "deadline_ms": milliseconds(action, "deadline", deadline, least=1),
            "retention_ms": milliseconds(action, "retention", retention, least=1),
            "cancel_grace_ms": milliseconds(action, "cancel_grace", cancel_grace),
            "sync_window_ms": milliseconds(action, "sync_window", sync_window),
            "concurrency": concurrency,
        }

        def decorate(function: AnyHandlerT) -> AnyHandlerT:
            if action in self._registrations:
                raise RegistrationError(f"the action {action!r} has a handler already")
            self._registrations[action] = _registration(
                action, function, executor, description, options
            )
            return function

        return decorate

    def get(self, action: str) -> Registration | None:
        """The handler of an action, None if there is none."""
        return self._registrations.get(action)

    def check(self) -> None:
        """Checks what is known only once every module is imported.

        Raises `RegistrationError` for a handler that a process would not find: something else
        stands under its name, such as the same function under one more decorator.
        """
        for registration in self._registrations.values():
            registration.check()

    def actions(self) -> tuple[str, ...]:
        """All actions, in the order of registration."""
        return tuple(self._registrations)

    def concurrency(self) -> ConcurrencyLimits:
        """What claims keep to: the limits of the actions."""
        per_action = {
            action: registration.concurrency
            for action, registration in self._registrations.items()
            if registration.concurrency is not None
        }
        return ConcurrencyLimits(per_action=per_action)


def _is_action_name(name: object) -> bool:
    return isinstance(name, str) and ACTION_NAME.fullmatch(name) is not None


def _registration(
    action: str,
    function: Callable[..., Any],
    executor: Literal["thread", "process"] | None,
    description: str,
    options: dict[str, Any],
) -> Registration:
    signature = signature_of(action, function)
    if signature.is_coroutine and executor is not None:
        raise RegistrationError(
            f"{action}: an async def runs on the event loop; executor={executor!r} is for a "
            "plain def"
        )
    return Registration(
        action=action,
        function=function,
        executor="coroutine" if signature.is_coroutine else executor or "thread",
        place=Place.of(action, function) if executor == "process" else None,
        takes_payload=signature.takes_payload,
        description=description or first_line(function),
        payload_adapter=signature.payload_adapter,
        result_adapter=signature.result_adapter,
        **options,
    )
