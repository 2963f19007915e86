# SPDX-License-Identifier: Apache-2.0
"""The application that the conformance suite plays server cases against.

The request carries the script: `conf.script` does its `steps` one after the other,

    {"steps": [{"chunk": 1}, {"hold": "gate"}, {"count": "ran"}, {"result": {"ok": true}}]}

and `conf.control` releases gates and reads counters. A server under test serves

| action | |
|---|---|
| `conf.script` | durable, up to 5 attempts, hardly a pause between them |
| `conf.process` | the same where `crash_worker` costs one process and not the server |
| `conf.once` | the same with one attempt |
| `conf.promoted` | the same as a quick action: answered at once, or stored when it takes too long |
| `conf.control` | quick; for tokens that may request it |
| `echo`, `echo_async` | the payload given back: quick, and durable |

A server in another language does the same; README.md says what each step means.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from datetime import timedelta
from typing import Annotated, Literal, Self

from conf_store import ConfStore
from pydantic import BaseModel, ConfigDict, Field, model_validator

from longcall_server import (
    Backoff,
    HandlerError,
    Handlers,
    JsonValue,
    RequestCancelled,
    RequestContext,
    SyncRequestContext,
)

LOOK_SECONDS = 0.02
"""How often a held script looks at its gate, which another process may open."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Attempts = Annotated[int, Field(ge=1)]


class Strict(BaseModel):
    """Unknown members are refused: a misspelt step must not be passed over."""

    model_config = ConfigDict(extra="forbid")


class Progress(Strict):
    """What `progress` reports."""

    percentage: float | None = None
    message: str | None = None
    details: JsonValue = None


class Failure(Strict):
    """How `fail` ends an attempt."""

    code: str = "failed"
    message: str = "The script says so."
    retryable: bool = False
    details: JsonValue = None
    attempts: Attempts | None = None
    """Only in so many first attempts; none: in each."""


class Step(Strict):
    """One step: exactly one member, what it does is said in README.md."""

    progress: Progress = Progress()
    chunk: JsonValue = None
    large_bytes: Annotated[int, Field(ge=2)] = 2
    hold: Name = "-"
    count: Name = "-"
    checkpoint: JsonValue = None
    fail: Failure = Failure()
    crash_worker: Attempts = 1
    ignore_cancel: Literal[True] = True
    result: JsonValue = None

    @property
    def verb(self) -> str:
        """The member that was given."""
        return next(iter(self.model_fields_set))

    @model_validator(mode="after")
    def _one_member(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("a step has exactly one member")
        return self


class Script(Strict):
    """What a script does, in order."""

    steps: list[Step]


class Control(Strict):
    """What is asked of the store: one of them."""

    release: Name | None = None
    count: Name | None = None
    counts: list[Name] | None = None


def run_script(ctx: SyncRequestContext, script: Script) -> JsonValue:
    """Does the steps; a later attempt begins behind the last checkpoint."""
    return _Run(ctx).run(script)


class _Run:
    """One attempt."""

    def __init__(self, ctx: SyncRequestContext) -> None:
        self._ctx = ctx
        self._store = ConfStore(ctx.tenant_id)
        self._heeds_cancel = True

    def run(self, script: Script) -> JsonValue:
        begin = 0
        if isinstance(self._ctx.checkpoint, dict):
            done = self._ctx.checkpoint.get("done")
            begin = done if isinstance(done, int) else 0
        for number, step in enumerate(script.steps[begin:], begin + 1):
            if self._heeds_cancel:
                self._ctx.raise_if_cancelled()
            if step.verb == "result":
                return step.result
            self._do(number, step)
        if self._heeds_cancel:
            self._ctx.raise_if_cancelled()
        return None

    def _do(self, number: int, step: Step) -> None:
        ctx = self._ctx
        match step.verb:
            case "progress":
                told = step.progress
                given = {"details": told.details} if "details" in told.model_fields_set else {}
                ctx.progress(told.percentage, told.message, **given)
            case "chunk":
                ctx.chunk(step.chunk)
            case "large_bytes":
                ctx.chunk("a" * (step.large_bytes - 2))  # its two quotes count
            case "checkpoint":
                ctx.save_checkpoint({"done": number, "state": step.checkpoint})
            case "hold":
                self._hold(step.hold)
            case "count":
                self._store.count(step.count)
            case "ignore_cancel":
                self._heeds_cancel = False
            case "fail":
                self._fail(step.fail)
            case "crash_worker":
                if ctx.attempt <= step.crash_worker:
                    os.kill(os.getpid(), signal.SIGKILL)

    def _hold(self, gate: str) -> None:
        while not self._store.is_released(gate):
            if self._heeds_cancel:
                if self._ctx.wait_cancelled(LOOK_SECONDS):
                    self._ctx.raise_if_cancelled()
                continue
            time.sleep(LOOK_SECONDS)
            # Deaf to its caller, not to the server: a fenced attempt lets its thread go.
            with contextlib.suppress(RequestCancelled):
                self._ctx.raise_if_cancelled()

    def _fail(self, failure: Failure) -> None:
        if failure.attempts is None or self._ctx.attempt <= failure.attempts:
            raise HandlerError(
                failure.code, failure.message, retryable=failure.retryable, details=failure.details
            )


handlers = Handlers()
SOON = Backoff(timedelta(milliseconds=10), timedelta(milliseconds=100))

handlers.register("conf.script", attempts=5, backoff=SOON)(run_script)
handlers.register("conf.process", attempts=5, backoff=SOON, executor="process")(run_script)
handlers.register("conf.once", attempts=1)(run_script)
handlers.register("conf.promoted", durable=False, attempts=5, backoff=SOON)(run_script)


@handlers.register("conf.control", durable=False)
def control(ctx: SyncRequestContext, asked: Control) -> dict[str, JsonValue]:
    """Releases a gate of the caller's tenant, or reads counters."""
    store = ConfStore(ctx.tenant_id)
    told: dict[str, JsonValue] = {}
    if asked.release is not None:
        store.release(asked.release)
        told["released"] = asked.release
    if asked.count is not None:
        told["count"] = store.counted(asked.count)
    if asked.counts is not None:
        told["counts"] = {name: store.counted(name) for name in asked.counts}
    return told


@handlers.register("echo", durable=False)
async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Any JSON value, given back at once; null when there was no payload."""
    return payload


@handlers.register("echo_async")
async def echo_async(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """The same through the store."""
    return payload
