# SPDX-License-Identifier: Apache-2.0
"""Which dead letters a command line means."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import AsyncIterator, Sequence

from pydantic import TypeAdapter, ValidationError

from longcall_server.config import SettingsError, milliseconds
from longcall_server.core.messages import RequestId
from longcall_server.operating.failure import CommandFailed
from longcall_server.operating.output import printable
from longcall_server.stores.base import DeadLetterFilter, Record, Store

_PAGE = 500


def check(options: argparse.Namespace) -> None:
    """Raises `SettingsError` if the options of `requeue` or `purge` do not fit each other."""
    if bool(options.ids) == options.all:
        raise SettingsError("name the ids, or choose with --all and filters")
    if options.ids and (options.action is not None or options.older_than is not None):
        raise SettingsError("--action and --older-than go with --all, not with ids")
    new_id = getattr(options, "new_id", None)
    if new_id is None:
        return
    if len(options.ids) != 1:
        raise SettingsError("--new-id goes with one id")
    try:
        TypeAdapter(RequestId).validate_python(new_id)
    except ValidationError:
        raise SettingsError(
            "--new-id: an id has 1 to 128 characters of A-Z a-z 0-9 . _ : -"
        ) from None


async def chosen(store: Store, options: argparse.Namespace) -> Sequence[Record]:
    """All that the command line means, as it stands before anything is changed.

    Raises `CommandFailed` for an id that names none or several.
    """
    if options.all:
        return [record async for page in pages(store, asked_for(store, options)) for record in page]
    found = {}
    for id in options.ids:
        record = await one(store, id, options)
        found[record.record_id] = record
    return list(found.values())


async def one(store: Store, id: str, options: argparse.Namespace) -> Record:
    """The dead letter of this id; raises `CommandFailed` if there is none or several."""
    where = DeadLetterFilter(tenant_id=options.tenant, sub=options.sub, id=id)
    found = [record async for page in pages(store, where) for record in page]
    if not found:
        raise CommandFailed(f"there is no dead letter {printable(id)} of this tenant and user")
    if len(found) > 1:
        owners = sorted((record.key.owner.tenant_id, record.key.owner.sub) for record in found)
        options_of = "\n".join(
            printable(f"  --tenant {shlex.quote(tenant)} --sub {shlex.quote(sub)}")
            for tenant, sub in owners
        )
        raise CommandFailed(
            f"{len(found)} users have a dead letter {printable(id)}; say whose:\n{options_of}"
        )
    return found[0]


async def pages(store: Store, where: DeadLetterFilter) -> AsyncIterator[Sequence[Record]]:
    """The whole list, the newest first."""
    page: Sequence[Record] = ()
    while True:
        page = await store.dead_letters(where, limit=_PAGE, after=page[-1] if page else None)
        if page:
            yield page
        if len(page) < _PAGE:
            return


def asked_for(store: Store, options: argparse.Namespace) -> DeadLetterFilter:
    """The filter options."""
    age = options.older_than
    return DeadLetterFilter(
        tenant_id=options.tenant,
        sub=options.sub,
        action=options.action,
        ended_before=None if age is None else store.now() - milliseconds(age),
    )
