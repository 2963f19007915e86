# SPDX-License-Identifier: Apache-2.0
"""One dead letter, as the commands show it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from longcall_server.core.events import timestamp
from longcall_server.operating.failure import CommandFailed
from longcall_server.operating.output import moment, printable
from longcall_server.stores.base import Record, RequestKey, Store

_REQUEUES = uuid.UUID("7b0f3d0e-6c3b-5a52-9d0c-2f6b2a4f1e57")
COLUMNS = ("FAILED AT", "TENANT", "SUB", "ID", "ACTION", "ATTEMPTS", "REQUEUED", "CODE", "MESSAGE")


def requeued_id(record: Record) -> str:
    """The id under which a dead letter is requeued, always the same one.

    So the command can be given again after a crash without a second request coming of it.
    """
    owner = record.key.owner
    incarnation = json.dumps([owner.tenant_id, owner.sub, record.key.id, record.created_at])
    return str(uuid.uuid5(_REQUEUES, incarnation))


async def with_new_ids(
    store: Store, records: Sequence[Record]
) -> Sequence[tuple[Record, str | None]]:
    """Each with the id under which it was requeued; None if it was not, or under a chosen id."""
    new_ids = [requeued_id(record) for record in records]
    found = await asyncio.gather(
        *(
            store.get(RequestKey(record.key.owner, new_id))
            for record, new_id in zip(records, new_ids, strict=True)
        )
    )
    return [
        (record, None if there is None else new_id)
        for record, new_id, there in zip(records, new_ids, found, strict=True)
    ]


def named(key: RequestKey) -> dict[str, Any]:
    """Whose it is and its id, for programs."""
    return {"tenant": key.owner.tenant_id, "sub": key.owner.sub, "id": key.id}


def said(key: RequestKey) -> str:
    """Whose it is and its id, for people."""
    return printable(f"{key.id} of {key.owner.tenant_id}/{key.owner.sub}")


def summary(record: Record, new_id: str | None) -> dict[str, Any]:
    """What a listing tells programs."""
    error = _error(record)
    assert record.finished_at is not None  # it failed
    assert record.expires_at is not None
    shown = named(record.key) | {
        "action": record.action,
        "attempts": record.attempt,
        "failures": record.failures,
        "finished_at": timestamp(record.finished_at),
        "expires_at": timestamp(record.expires_at),
        "error": {"code": error["code"], "message": error["message"]},
    }
    return shown if new_id is None else shown | {"requeued_as": new_id}


def row(record: Record, new_id: str | None) -> Sequence[str]:
    """What a listing tells people, by `COLUMNS`."""
    error = _error(record)
    return (
        moment(record.finished_at),
        record.key.owner.tenant_id,
        record.key.owner.sub,
        record.key.id,
        record.action,
        str(record.attempt),
        "no" if new_id is None else "yes",
        error["code"],
        error["message"],
    )


async def whole(
    store: Store, record: Record, new_id: str | None, files_dir: Path
) -> dict[str, Any]:
    """All that is known of one; `record` is as `Store.get` gives it."""
    shown = summary(record, new_id) | {
        "status": record.status.value,
        "created_at": timestamp(record.created_at),
        "priority": record.priority,
        "metadata": record.metadata,
        "payload": json.loads(record.payload),
    }
    if record.requeued_from is not None:
        shown["requeued_from"] = record.requeued_from
    if record.deadline_at is not None:
        shown["deadline_at"] = timestamp(record.deadline_at)
    if record.progress is not None:
        shown["progress"] = json.loads(record.progress.body)
    if record.checkpoint is not None:
        shown["checkpoint"] = json.loads(record.checkpoint)
    files = [
        {
            "name": file.name,
            "media_type": file.media_type,
            "size": file.size,
            "sha256": file.sha256,
            "path": str(files_dir / file.location),
        }
        for file in record.files
    ]
    events = await _events(store, record)
    return shown | {"error": _error(record), "files": files, "events": events}


async def _events(store: Store, record: Record) -> list[Any]:
    events: list[Any] = []
    while len(events) < record.last_seq:
        piece = await store.read(record.key, len(events))
        if piece is None:
            raise CommandFailed(f"{said(record.key)} has just been removed")
        events += [json.loads(event.frame) for event in piece.events]
    return events


def _error(record: Record) -> dict[str, Any]:
    assert record.error is not None  # it failed
    error: dict[str, Any] = json.loads(record.error)
    return error
