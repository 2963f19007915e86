# SPDX-License-Identifier: Apache-2.0
"""Completion by the shells: argcomplete asks this program, and this program asks the server."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Iterable
from urllib.request import Request, urlopen

import argcomplete
from argcomplete.shell_integration import shellcode

from ..asyncio import connect
from ..errors import LongcallError
from ..options import Options, http_base
from .arguments import parser
from .settings import Settings, ask, config_path, read_file, resolve

PATIENCE = 1.5
"""Seconds that somebody who has pressed a key waits for a server."""
ENOUGH = 50


def script(shell: str) -> str:
    """Returns what a shell evaluates to know how `longcall` is completed."""
    return shellcode(["longcall"], shell=shell)


def answer() -> None:
    """Answers a shell that asks, and exits; returns at once when none does."""
    if "_ARGCOMPLETE" in os.environ:
        argcomplete.autocomplete(parser(_ids, _actions, _profiles), always_complete_options="long")


def _ids(parsed_args: argparse.Namespace, **_: object) -> Iterable[str]:
    """The newest requests; those that still run where only they make sense."""
    statuses = ["queued", "processing", "retrying"] if parsed_args.command == "cancel" else None

    async def list_them(settings: Settings) -> list[str]:
        found: list[str] = []
        async with connect(settings.url, settings.token, options=Options()) as client:
            async for request in client.requests(status=statuses, page_size=ENOUGH):
                found.append(request.id)
                if len(found) == ENOUGH:
                    break
        return found

    return _asked(parsed_args, list_them)


def _actions(parsed_args: argparse.Namespace, **_: object) -> Iterable[str]:
    async def list_them(settings: Settings) -> list[str]:
        token = await ask(settings.token)
        return await asyncio.to_thread(_published, http_base(settings.url), token)

    return _asked(parsed_args, list_them)


def _published(base: str, token: str | None) -> list[str]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with urlopen(Request(f"{base}/v1/actions", headers=headers), timeout=PATIENCE) as response:
        return [one["action"] for one in json.load(response)["actions"]]


def _profiles(parsed_args: argparse.Namespace, **_: object) -> Iterable[str]:
    with contextlib.suppress(LongcallError):
        return read_file(config_path(parsed_args, os.environ), must_exist=False).profiles
    return ()


def _asked(
    parsed_args: argparse.Namespace, work: Callable[[Settings], Awaitable[list[str]]]
) -> list[str]:
    """Asks the configured server; whatever goes wrong, a completion says nothing."""

    async def within_patience() -> list[str]:
        async with asyncio.timeout(PATIENCE):
            return await work(resolve(parsed_args, os.environ))

    # Anything may be in the way: no server, no token, a proxy's page instead of JSON.
    with contextlib.suppress(Exception):
        return asyncio.run(within_patience())
    return []
