# SPDX-License-Identifier: Apache-2.0
"""The operator's commands on the command line; what they do is imported when they run."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from longcall_server.config import Settings, load_settings, parse_duration
from longcall_server.operating.failure import CommandFailed


def add_commands(commands: Any) -> None:
    """Adds `deadletter`, `announce`, `backup` and `restore`."""
    _add_deadletter(commands)
    _add_announce(commands)
    _add_backup(commands)
    _add_restore(commands)


def _add_deadletter(commands: Any) -> None:
    deadletter = commands.add_parser(
        "deadletter",
        help="look at requests that failed, repeat them, remove them",
        description="Requests that failed for good, of all owners. Servers may run meanwhile.",
    )
    verbs = deadletter.add_subparsers(
        title="commands", required=True, metavar="COMMAND", dest="verb"
    )
    deadletter.set_defaults(run=_deadletter)

    listing = verbs.add_parser("list", help="list them, the newest first")
    _add_filters(listing)
    listing.add_argument(
        "--limit", type=_count, default=50, metavar="N", help="at most so many (default 50)"
    )
    _add_json(listing)

    show = verbs.add_parser("show", help="show one with its payload, error, log and files, as JSON")
    show.add_argument("id", metavar="ID")
    _add_owner(show)

    requeue = verbs.add_parser(
        "requeue",
        help="repeat them as new requests",
        description="Each becomes a new request under a new id, with `requeued_from`. The same "
        "command again makes no second one.",
    )
    _add_choice(requeue)
    requeue.add_argument(
        "--new-id", metavar="ID", help="the id of the new request, where one is repeated"
    )
    _add_json(requeue)

    purge = verbs.add_parser(
        "purge",
        help="remove them",
        description="Removes requests with their logs and files. Their ids stay known for "
        "LONGCALL_ID_RETENTION.",
    )
    _add_choice(purge)
    purge.add_argument("--yes", action="store_true", help="do not ask")
    _add_json(purge)


def _add_announce(commands: Any) -> None:
    announce = commands.add_parser(
        "announce",
        help="say something to those who are connected",
        description="Sends an announcement to the clients that are connected to the servers of "
        "this data folder. It is not stored: who is not connected never hears it.",
    )
    announce.add_argument("message", metavar="MESSAGE")
    announce.add_argument("--all", action="store_true", help="to everybody")
    announce.add_argument("--tenant", metavar="T", help="to the users of this tenant")
    announce.add_argument("--sub", metavar="S", help="to this user of the tenant alone")
    announce.add_argument("--connection", metavar="ID", help="to this connection")
    announce.add_argument("--details", metavar="JSON", help="anything for programs")
    _add_data_dir(announce)
    announce.set_defaults(run=_announce)


def _add_backup(commands: Any) -> None:
    backup = commands.add_parser(
        "backup",
        help="save the database and the files of requests",
        description="Writes the database of this moment, and the files that its requests have, "
        "into one tar file. Servers go on working meanwhile.",
    )
    backup.add_argument("file", metavar="FILE", help="the backup, e.g. longcall.tar")
    backup.add_argument("--force", action="store_true", help="replace FILE if it is there")
    _add_data_dir(backup)
    backup.set_defaults(run=_backup)


def _add_restore(commands: Any) -> None:
    restore = commands.add_parser(
        "restore",
        help="put a backup in the place of the data folder",
        description="Checks a backup and puts its database and files into the data folder, which "
        "no server may use meanwhile. What was there is kept aside.",
    )
    restore.add_argument("file", metavar="FILE", help="what `backup` wrote")
    _add_data_dir(restore)
    restore.set_defaults(run=_restore)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--all", action="store_true", help="all that the filters choose")
    _add_filters(parser)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    _add_owner(parser)
    parser.add_argument("--action", metavar="A", help="only of this action")
    parser.add_argument(
        "--older-than", type=_age, metavar="AGE", help="only what failed so long ago, e.g. 7d"
    )


def _add_owner(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", metavar="T", help="only of this tenant")
    parser.add_argument("--sub", metavar="S", help="only of this user")
    _add_data_dir(parser)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="write one JSON object a line")


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    field = Settings.model_fields["data_dir"]
    parser.add_argument(
        "--data-dir", metavar="PATH", help=f"{field.description} (default {field.default})"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _age(text: str) -> timedelta:
    try:
        age = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    assert isinstance(age, timedelta)
    return age


def _deadletter(options: argparse.Namespace) -> int:
    from longcall_server.operating import deadletter  # noqa: PLC0415  (see the module's text)

    return _carry_out(deadletter.run, options)


def _announce(options: argparse.Namespace) -> int:
    from longcall_server.operating import announce  # noqa: PLC0415  (see the module's text)

    return _carry_out(announce.run, options)


def _backup(options: argparse.Namespace) -> int:
    from longcall_server.operating import backup  # noqa: PLC0415  (see the module's text)

    return _carry_out(backup.run, options)


def _restore(options: argparse.Namespace) -> int:
    from longcall_server.operating import restore  # noqa: PLC0415  (see the module's text)

    return _carry_out(restore.run, options)


def _carry_out(
    command: Callable[[Settings, argparse.Namespace], None], options: argparse.Namespace
) -> int:
    """Runs a command and makes its exit code."""
    try:
        with _ended_in_order():
            command(load_settings(data_dir=options.data_dir, store="sqlite"), options)
        sys.stdout.flush()
    except CommandFailed as error:
        print(f"longcall-server: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Who read the output has had enough; what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does: what it has made aside is removed."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the business of whoever made this thread
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
