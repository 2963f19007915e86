# SPDX-License-Identifier: Apache-2.0
"""`longcall-server announce`: an operator's word to those who are connected (PROTOCOL 4.7).

It rings the servers of the data folder. Whoever may enter that folder is an operator: no token.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

from longcall_server.announcements import compose
from longcall_server.answers import Refused
from longcall_server.bus.base import Announcement
from longcall_server.config import Settings, SettingsError
from longcall_server.operating.data import opened
from longcall_server.operating.failure import CommandFailed


def run(settings: Settings, options: argparse.Namespace) -> None:
    """Carries it out; raises `CommandFailed`, and `SettingsError` for a word that cannot be."""
    asyncio.run(_announce(settings, _announcement(settings, options)))


async def _announce(settings: Settings, announcement: Announcement) -> None:
    async with opened(settings) as engines:
        rung = engines.bus.announce(announcement)
    if not rung:
        raise CommandFailed("no server of this data folder is running: nobody has heard it")
    print(f"on its way to the clients of {rung} server process{'es' * (rung > 1)}")


def _announcement(settings: Settings, options: argparse.Namespace) -> Announcement:
    """The same word as over HTTP, under the same checks."""
    ways = (options.all or None, options.tenant, options.connection)
    if sum(way is not None for way in ways) != 1 or (options.sub and options.tenant is None):
        raise SettingsError(
            "say who hears it: --all, --tenant, --tenant with --sub, or --connection"
        )
    names = zip(("all", "tenant_id", "connection_id", "sub"), (*ways, options.sub), strict=True)
    to = {name: way for name, way in names if way is not None}
    members = [f'"message":{json.dumps(options.message)}', f'"to":{json.dumps(to)}']
    if options.details is not None:
        members.append(f'"details":{_json(options.details)}')
    composed = compose(
        f"{{{','.join(members)}}}",
        now=time.time_ns() // 1_000_000,
        max_depth=settings.max_depth,
        max_message_bytes=settings.max_message_bytes,
    )
    if isinstance(composed, Refused):
        raise CommandFailed(composed.error.message)
    return composed.announcement


def _json(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"--details: it is not JSON: {error}") from None
    return text
