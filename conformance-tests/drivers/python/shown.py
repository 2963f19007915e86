# SPDX-License-Identifier: Apache-2.0
"""How what the SDK gives and raises looks in the driver protocol, and what it is given."""

from __future__ import annotations

import dataclasses
import os
import threading
from datetime import datetime
from typing import Any

import longcall

JsonObject = dict[str, Any]


class UsageError(Exception):
    """The runner asked for something that this driver does not know."""


KINDS: dict[type[Exception], str] = {
    longcall.ConnectionClosed: "connection_closed",
    longcall.ConfigurationError: "configuration",
    longcall.QueueFull: "queue_full",
    longcall.WaitTimeout: "wait_timeout",
    UsageError: "usage",
}
ERROR = (
    *("code", "message", "retryable", "attempt", "executed", "outcome_unknown"),
    *("origin", "request_id", "details"),
)
STATUS = ("seq", "status", "attempt", "chunks_kept_to")
PROGRESS = ("attempt", "version", "percentage", "message", "details")
CHUNK = ("seq", "attempt", "data")


def submission(fields: JsonObject) -> JsonObject:
    """The SDK's arguments for what the runner named."""
    given = dict(fields)
    arguments: JsonObject = {"payload": given.pop("payload", None)}
    if "request_id" in given:
        arguments["id"] = given.pop("request_id")
    for name in ("deadline", "delay"):
        if f"{name}_ms" in given:
            arguments[name] = given.pop(f"{name}_ms") / 1000
    return {**arguments, **given}


def described(error: Exception) -> JsonObject:
    """An error by the driver protocol."""
    if isinstance(error, longcall.RequestError):
        shown = {name: getattr(error, name) for name in ERROR if getattr(error, name) is not None}
        if error.retry_after is not None:
            shown["retry_after_ms"] = round(error.retry_after * 1000)
        return {"kind": "request", **shown}
    kind = next((name for cls, name in KINDS.items() if isinstance(error, cls)), "other")
    told = {"kind": kind, "message": f"{type(error).__name__}: {error}"}
    if isinstance(error, longcall.ConnectionClosed):
        return {**told, "outcome_unknown": error.outcome_unknown}
    return told


def wire(value: Any) -> Any:
    """A dataclass of the SDK as an object with the names of the wire."""
    if isinstance(value, datetime):
        return value.isoformat()
    if not dataclasses.is_dataclass(value):
        return value
    fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    return {name: wire(item) for name, item in fields if item is not None}


def sockets() -> set[str]:
    """The sockets of this process by their numbers; none where there is no /proc."""
    found = set()
    for number in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # that of the listing itself
        if target.startswith("socket:"):
            found.add(target)
    return found


def threads() -> list[str]:
    """The threads that are neither the first one nor the pool of asyncio, which it keeps."""
    others = (it for it in threading.enumerate() if it is not threading.main_thread())
    return [str(it) for it in others if not it.name.startswith("asyncio_")]
