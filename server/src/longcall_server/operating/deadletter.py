# SPDX-License-Identifier: Apache-2.0
"""`longcall-server deadletter`: requests that failed, over all owners (PROTOCOL 5.4.13).

The commands work on the store itself, beside running servers. Each change is one of the store's own
transactions, and a command that was interrupted is simply given again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from longcall_server.config import Settings, SettingsError
from longcall_server.engines import Engines
from longcall_server.files import FileStore
from longcall_server.operating import choice, letters
from longcall_server.operating.data import opened
from longcall_server.operating.failure import CommandFailed
from longcall_server.operating.output import json_text, print_json, print_table
from longcall_server.stores.base import IdTaken, OutcomeUnknown, Record
from longcall_server.stores.outcomes import until_known

T = TypeVar("T")
Verb = Callable[[Engines, argparse.Namespace], Awaitable[None]]

_AT_ONCE = 50
"""Changes that may share a transaction; servers get their turn in between."""
_PATIENCE_MS = 30_000


def run(settings: Settings, options: argparse.Namespace) -> None:
    """Carries out `deadletter <verb>`; raises `CommandFailed` and `SettingsError`."""
    verbs: dict[str, Verb] = {"list": _list, "show": _show, "requeue": _requeue, "purge": _purge}
    if options.verb in ("requeue", "purge"):
        choice.check(options)
    asyncio.run(_opened(settings, options, verbs[options.verb]))


async def _opened(settings: Settings, options: argparse.Namespace, verb: Verb) -> None:
    async with opened(settings) as engines:
        try:
            await verb(engines, options)
        except OutcomeUnknown as error:
            problem = "whether the last changes were made is not known; give the command again"
            raise CommandFailed(f"{error}: {problem}") from error


async def _list(engines: Engines, options: argparse.Namespace) -> None:
    store = engines.store
    left = options.limit
    rows: list[Sequence[str]] = []
    async for page in choice.pages(store, choice.asked_for(store, options)):
        for record, new_id in await letters.with_new_ids(store, page[:left]):
            if options.json:
                print_json(letters.summary(record, new_id))
            else:
                rows.append(letters.row(record, new_id))
        if len(page) > left:
            print(f"there are more than {options.limit}: see --limit", file=sys.stderr)
            break
        left -= len(page)
    if rows:
        print_table(letters.COLUMNS, rows)
    elif not options.json:
        print("there are no dead letters", file=sys.stderr)


async def _show(engines: Engines, options: argparse.Namespace) -> None:
    store = engines.store
    found = await choice.one(store, options.id, options)
    record = await store.get(found.key)
    if not isinstance(record, Record):
        raise CommandFailed(f"{letters.said(found.key)} has just been removed")
    ((_, new_id),) = await letters.with_new_ids(store, [record])
    shown = await letters.whole(store, record, new_id, engines.files_dir)
    print(json_text(shown, indent=2))


async def _requeue(engines: Engines, options: argparse.Namespace) -> None:
    store = engines.store

    async def repeat(record: Record) -> str:
        new_id = options.new_id or letters.requeued_id(record)
        try:
            fresh = await _known(lambda: store.requeue(record.key, new_id))
        except IdTaken:
            before = "" if options.new_id else "it was requeued before, and "
            raise CommandFailed(
                f"{before}the id {new_id} stands for another request: choose one with --new-id"
            ) from None
        if fresh is None:
            raise CommandFailed("it has just been removed")
        engines.bus.work_available()
        return fresh.key.id

    def tell(record: Record, new_id: str) -> None:
        if options.json:
            print_json(letters.named(record.key) | {"requeued_as": new_id})
        else:
            print(f"{letters.said(record.key)} is requeued as {new_id}", flush=True)

    await _each(await choice.chosen(store, options), repeat, tell)


async def _purge(engines: Engines, options: argparse.Namespace) -> None:
    store = engines.store
    chosen = await choice.chosen(store, options)
    if not chosen or not (options.yes or _agreed(chosen)):
        return
    files = FileStore(engines.files_dir)

    async def remove(record: Record) -> None:
        removed = await _known(lambda: store.delete(record.key))
        # What an interruption leaves behind here, the next start of a server finds.
        await asyncio.to_thread(files.remove, [file.location for file in removed or ()])
        engines.bus.request_changed(record.key)

    def tell(record: Record, _: None) -> None:
        if options.json:
            print_json(letters.named(record.key) | {"purged": True})
        else:
            print(f"{letters.said(record.key)} is removed", flush=True)

    await _each(chosen, remove, tell)


async def _each(
    records: Sequence[Record],
    change: Callable[[Record], Awaitable[T]],
    tell: Callable[[Record, T], None],
) -> None:
    """Makes all changes and tells of each; raises `CommandFailed` if some could not be made."""
    failed = 0
    for start in range(0, len(records), _AT_ONCE):
        batch = records[start : start + _AT_ONCE]
        outcomes = await asyncio.gather(*map(change, batch), return_exceptions=True)
        for record, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, CommandFailed):
                failed += 1
                print(f"longcall-server: {letters.said(record.key)}: {outcome}", file=sys.stderr)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                tell(record, outcome)
    if failed:
        raise CommandFailed(f"{failed} of {len(records)} are as they were")


async def _known(write: Callable[[], Awaitable[T]]) -> T:
    """PROTOCOL 10.3 holds for operators, too: a write is repeated until its outcome is known."""
    return await until_known(
        "a change", write, patience_ms=_PATIENCE_MS, wait_for_store=lambda: False
    )


def _agreed(chosen: Sequence[Record]) -> bool:
    if not sys.stdin.isatty():
        raise SettingsError("purge asks before it removes, and nobody can answer here: give --yes")
    what = letters.said(chosen[0].key) if len(chosen) == 1 else f"{len(chosen)} dead letters"
    print(f"Remove {what}, with logs and files? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
