# SPDX-License-Identifier: Apache-2.0
"""The command line: `serve MODULE:HANDLERS`, `worker MODULE:HANDLERS`, `token`, and what operators
do (`operating`).

Whatever a command does not need it does not import: a server is ready in well under a second.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from longcall_server import __version__
from longcall_server.config import (
    GATEWAY_SETTINGS,
    Settings,
    SettingsError,
    duration_text,
    option_name,
)
from longcall_server.operating import tokens
from longcall_server.operating.arguments import add_commands

_ENVIRONMENT_ONLY = frozenset({"jwt_secret"})


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and exits: 0 well, 1 it failed, 2 it was called or configured wrongly."""
    options = _parser().parse_args(arguments)
    try:
        code = options.run(options)
    except SettingsError as error:
        print(f"longcall-server: {error}", file=sys.stderr)
        code = 2
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="longcall-server", description="The reference server of the longcall protocol."
    )
    parser.add_argument("--version", action="version", version=f"longcall-server {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_worker(commands)
    tokens.add_commands(commands)
    add_commands(commands)
    return parser


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser(
        "serve",
        help="run a server with the handlers of an application",
        description="Runs a server. Each option is also an environment variable LONGCALL_<NAME>; "
        "flags win. Durations: 500ms, 30s, 5m, 24h, 7d, or a number of seconds. The key of the "
        "tokens is LONGCALL_JWT_SECRET.",
    )
    _add_handlers(serve)
    serve.add_argument(
        "--dev",
        action="store_true",
        help="make a key for this run if none is set, print a token that may request anything, and "
        "let pages connect that this machine serves at any port",
    )
    serve.add_argument(
        "--no-worker",
        action="store_true",
        help="leave durable requests to `longcall-server worker` processes on the same data folder",
    )
    serve.add_argument(
        "--ready-file", metavar="PATH", help="write the URL and pid there as JSON once it listens"
    )
    _add_settings(serve, _ENVIRONMENT_ONLY)
    serve.set_defaults(run=_serve)


def _add_worker(commands: Any) -> None:
    worker = commands.add_parser(
        "worker",
        help="run durable requests of a server on the same data folder",
        description="Runs a worker: it claims and runs durable requests of its handlers, beside "
        "any number of other workers and servers on the same data folder, and may be started and "
        "stopped at any time. Each option is also an environment variable LONGCALL_<NAME>.",
    )
    _add_handlers(worker)
    worker.add_argument(
        "--ready-file", metavar="PATH", help="write the pid there as JSON once it works"
    )
    _add_settings(worker, _ENVIRONMENT_ONLY | GATEWAY_SETTINGS)
    worker.set_defaults(run=_worker)


def _add_handlers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "handlers", metavar="MODULE:HANDLERS", help="where the Handlers are, e.g. myapp:handlers"
    )


def _add_settings(parser: argparse.ArgumentParser, left_out: frozenset[str]) -> None:
    for name, field in Settings.model_fields.items():
        if name not in left_out:
            parser.add_argument(
                option_name(name),
                dest=f"setting_{name}",
                metavar="VALUE",
                help=f"{field.description} (default {_shown(field.default)})".replace("%", "%%"),
            )


def _shown(default: object) -> str:
    if default is None or default == ():
        return "none"
    return duration_text(default) if isinstance(default, timedelta) else str(default)


def _serve(options: argparse.Namespace) -> int:
    from longcall_server.serving import serve  # noqa: PLC0415  (see the module's text)

    return serve(
        options.handlers,
        _given(options),
        dev=options.dev,
        claims=not options.no_worker,
        ready_file=options.ready_file,
    )


def _worker(options: argparse.Namespace) -> int:
    from longcall_server.serving import work  # noqa: PLC0415  (see the module's text)

    return work(options.handlers, _given(options), ready_file=options.ready_file)


def _given(options: argparse.Namespace) -> dict[str, Any]:
    return {
        name.removeprefix("setting_"): value
        for name, value in vars(options).items()
        if name.startswith("setting_")
    }


if __name__ == "__main__":
    main()
