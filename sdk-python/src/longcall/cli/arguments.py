# SPDX-License-Identifier: Apache-2.0
"""The command line of `longcall`, read into plain values."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from .. import __version__
from ..codes import RequestStatus
from . import inputs
from .exits import MEANINGS, Exit

SHELLS = ("bash", "zsh", "fish")

CONFIGURATION = """\
configuration, in this order: flags, environment, file
  LONGCALL_URL      where the server is, e.g. wss://example.com
  LONGCALL_TOKEN    the token (never on the command line, where others could read it)
  LONGCALL_PROFILE  a profile of the file
  LONGCALL_CONFIG   the file (default ~/.config/longcall/config.toml):

    default_profile = "production"

    [profiles.production]
    url = "wss://example.com"
    token_command = ["vault", "read", "-field=token", "longcall"]
    # or token_file = "production.jwt", or token = "…"
"""

Completer = Callable[..., Any]


class Parser(argparse.ArgumentParser):
    """Says what is wrong in a line; how it is right is one command away."""

    def __init__(self, **options: Any) -> None:
        # What is short for one option today is short for two tomorrow.
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        self.exit(Exit.USAGE, f"{self.prog}: {message}\n(help: {self.prog} --help)\n")


def parser(
    complete_ids: Completer | None = None,
    complete_actions: Completer | None = None,
    complete_profiles: Completer | None = None,
) -> argparse.ArgumentParser:
    """Returns the parser of the command line; the completers are for the shells (argcomplete)."""
    codes = "\n".join(f"  {code.value:<5} {meaning}" for code, meaning in MEANINGS.items())
    root = Parser(
        prog="longcall",
        description="Call it, watch its progress, get the result, whatever happens in between.",
        epilog=f"{CONFIGURATION}\nexit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"longcall {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, help: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(
            name, help=help, description=f"{help[0].upper()}{help[1:]}."
        )
        return made

    call = command("call", "call an action, and print its result")
    _add_request(call, complete_actions)
    _add_following(call)
    submit = command("submit", "submit a request, and print its id")
    _add_request(submit, complete_actions)
    _add_timeout(submit)
    watch = command("watch", "come back to requests: their progress, their results")
    _add_ids(watch, complete_ids)
    _add_following(watch)
    result = command("result", "wait for results, and print them")
    _add_ids(result, complete_ids)
    _add_download(result)
    _add_timeout(result)
    listing = command("list", "list your requests, the newest first")
    _add_filters(listing, complete_actions)
    cancel = command("cancel", "end requests")
    _add_ids(cancel, complete_ids)
    cancel.add_argument("--reason", help="why, in words")
    _add_timeout(cancel)
    token = command("token", "look at a token")
    verbs = token.add_subparsers(dest="verb", metavar="VERB", required=True)
    decode = verbs.add_parser(
        "decode",
        help="print what a token says; verifies nothing",
        description="Prints the header and the claims of a JWT, and when it expires. It verifies "
        "nothing: whether a token is genuine, only the server knows.",
    )
    decode.add_argument(
        "token",
        nargs="?",
        metavar="TOKEN",
        help="the token, @FILE, or - for standard input (default: the configured token)",
    )
    completion = command("completion", "print the completion script of a shell")
    completion.add_argument(
        "shell", choices=SHELLS, help='bash: eval "$(longcall completion bash)"'
    )
    for one in (call, submit, watch, result, listing, cancel, decode):
        _add_connection(one, complete_profiles)
    return root


def _add_connection(command: argparse.ArgumentParser, complete_profiles: Completer | None) -> None:
    group = command.add_argument_group("server and output")
    group.add_argument("--url", help="where the server is (or LONGCALL_URL)")
    group.add_argument(
        "--token-file", metavar="FILE", help="a file that holds the token, read at each connection"
    )
    _completed(
        group.add_argument("--profile", metavar="NAME", help="a profile of the configuration file"),
        complete_profiles,
    )
    group.add_argument("--config", metavar="FILE", help="the configuration file")
    group.add_argument(
        "--connect-timeout",
        type=inputs.duration,
        metavar="DURATION",
        help="until the first connection must be there (default 10s)",
    )
    group.add_argument(
        "--json", action="store_true", help="print lines of JSON for programs, and no progress"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="show no progress, only errors")


def _add_request(command: argparse.ArgumentParser, complete_actions: Completer | None) -> None:
    _completed(
        command.add_argument("action", metavar="ACTION", help="what to call"), complete_actions
    )
    command.add_argument(
        "payloads",
        metavar="PAYLOAD",
        nargs="*",
        type=inputs.payload,
        help="its arguments as JSON; @FILE reads a file, - standard input; several: a request each",
    )
    command.add_argument(
        "--lines",
        metavar="FILE",
        type=inputs.lines,
        help="a request for each line of a file of JSON payloads; - reads standard input",
    )
    command.add_argument(
        "--parallel",
        type=inputs.count,
        default=32,
        metavar="N",
        help="how many requests are under way at once (default 32)",
    )
    command.add_argument("--id", help="the id and idempotency key (default: a fresh one)")
    command.add_argument(
        "--deadline", type=inputs.duration, metavar="DURATION", help="when the server ends it"
    )
    command.add_argument(
        "--delay", type=inputs.duration, metavar="DURATION", help="before it may start"
    )
    command.add_argument(
        "--priority", type=inputs.priority, metavar="0-9", help="higher first (default 5)"
    )
    command.add_argument(
        "--metadata", action="append", type=inputs.pair, metavar="KEY=VALUE", help="a note; repeat"
    )


def _add_ids(command: argparse.ArgumentParser, complete_ids: Completer | None) -> None:
    _completed(
        command.add_argument("ids", metavar="ID", nargs="+", help="the id of a request"),
        complete_ids,
    )


def _add_timeout(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--timeout",
        type=inputs.duration,
        metavar="DURATION",
        help="how long to wait here: 30s, 5m, 2h, or seconds; the request goes on after that",
    )


def _add_download(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--download",
        type=inputs.folder,
        metavar="DIR",
        help="download the file that the result names, into this folder",
    )


def _add_following(command: argparse.ArgumentParser) -> None:
    _add_download(command)
    _add_timeout(command)
    command.add_argument(
        "--chunks", action="store_true", help="print each chunk as a line of JSON as it comes"
    )
    command.add_argument(
        "--events",
        action="store_true",
        help="with --json: print each event as a line: status, progress, chunk",
    )


def _add_filters(command: argparse.ArgumentParser, complete_actions: Completer | None) -> None:
    _completed(
        command.add_argument(
            "--status", action="append", metavar="STATUS", help="only in this status; repeat"
        ),
        lambda **_: [status.value for status in RequestStatus],
    )
    _completed(
        command.add_argument("--action", metavar="ACTION", help="only of this action"),
        complete_actions,
    )
    command.add_argument("--sub", help="of this user of the tenant (needs a permission)")
    command.add_argument(
        "--limit", type=inputs.count, default=20, metavar="N", help="how many (default 20)"
    )


def _completed(argument: argparse.Action, completer: Completer | None) -> None:
    if completer is not None:
        argument.completer = completer  # type: ignore[attr-defined] # where argcomplete looks
