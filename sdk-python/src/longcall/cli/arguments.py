# SPDX-License-Identifier: Apache-2.0
"""The command line of `longcall`, read into plain values."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from .. import __version__
from .exits import Exit

ENVIRONMENT = """environment:
  LONGCALL_URL      where the server is, e.g. wss://example.com/v1/connect
  LONGCALL_TOKEN    the token (never on the command line, where others could read it)
"""


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    meanings = {
        Exit.COMPLETED: "completed",
        Exit.FAILED: "failed or refused",
        Exit.USAGE: "wrong command line",
        Exit.CANCELLED: "cancelled",
        Exit.TIMEOUT: "deadline or --timeout passed",
        Exit.UNREACHABLE: "no connection, or not let in",
        Exit.INTERRUPTED: "Ctrl-C (the request goes on)",
    }
    codes = "\n".join(f"  {code.value:<5} {meaning}" for code, meaning in meanings.items())
    root = argparse.ArgumentParser(
        prog="longcall",
        description="Call it, watch its progress, get the result, whatever happens in between.",
        epilog=f"{ENVIRONMENT}\nexit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"longcall {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)

    call = commands.add_parser("call", help="call an action, and print its result")
    _add_request(call)
    _add_following(call)
    submit = commands.add_parser("submit", help="submit a request, and print its id")
    _add_request(submit)
    _add_timeout(submit)
    watch = commands.add_parser("watch", help="come back to a request: its events, its result")
    _add_id(watch)
    _add_following(watch)
    result = commands.add_parser("result", help="wait for a result, and print it")
    _add_id(result)
    _add_download(result)
    _add_timeout(result)
    listing = commands.add_parser("list", help="list your requests, the newest first")
    listing.add_argument("--status", action="append", help="only in this status; repeatable")
    listing.add_argument("--action", help="only of this action")
    listing.add_argument("--limit", type=_count, default=20, help="how many (default 20)")
    cancel = commands.add_parser("cancel", help="end a request")
    _add_id(cancel)
    cancel.add_argument("--reason", help="why, in words")
    _add_timeout(cancel)
    for command in (call, submit, watch, result, listing, cancel):
        _add_connection(command)
    return root


def _add_connection(command: argparse.ArgumentParser) -> None:
    url = os.environ.get("LONGCALL_URL")
    command.add_argument(
        "--url", default=url, required=not url, help="where the server is (or LONGCALL_URL)"
    )
    command.add_argument(
        "--connect-timeout",
        type=_seconds,
        default=10.0,
        metavar="S",
        help="seconds until the first connection must be there (default 10)",
    )
    command.add_argument(
        "--json", action="store_true", help="print one line of JSON for programs, no progress"
    )


def _add_request(command: argparse.ArgumentParser) -> None:
    command.add_argument("action", metavar="ACTION", help="what to call")
    command.add_argument(
        "payload",
        metavar="PAYLOAD_JSON",
        nargs="?",
        default=None,
        type=_payload,
        help="its arguments as JSON; @FILE reads a file, - standard input",
    )
    command.add_argument("--id", help="the id and idempotency key (default: a fresh one)")
    command.add_argument(
        "--deadline", type=_seconds, metavar="S", help="seconds until the server ends it"
    )
    command.add_argument("--delay", type=_seconds, metavar="S", help="seconds before it may start")
    command.add_argument("--priority", type=int, metavar="0-9", help="higher first (default 5)")
    command.add_argument(
        "--metadata", action="append", type=_pair, metavar="KEY=VALUE", help="a note; repeatable"
    )


def _add_id(command: argparse.ArgumentParser) -> None:
    command.add_argument("id", metavar="ID", help="the id of the request")


def _add_timeout(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--timeout", type=_seconds, metavar="S", help="seconds to wait here; it goes on after that"
    )


def _add_download(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--download",
        type=_folder,
        metavar="DIR",
        help="download the file that the result names, into this folder",
    )


def _add_following(command: argparse.ArgumentParser) -> None:
    _add_download(command)
    _add_timeout(command)
    command.add_argument(
        "--chunks", action="store_true", help="print each chunk as a line of JSON as it comes"
    )


def _payload(text: str) -> Any:
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None


def _seconds(text: str) -> float:
    seconds = float(text)
    if not (seconds > 0 and math.isfinite(seconds)):
        raise argparse.ArgumentTypeError("must be a number of seconds greater than 0")
    return seconds


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("must be KEY=VALUE")
    return key, value


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no folder")
    return path
