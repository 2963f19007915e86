# SPDX-License-Identifier: Apache-2.0
"""`longcall-conformance proxy`: the fault proxy as a process of its own.

Standard output has one JSON line when it listens (`{"ready": true, "url": …}`) and one with the
report at the end (`{"report": …}`), which comes with SIGTERM or SIGINT; SIGUSR1 writes the report
as it is then, and the proxy goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from .proxy import FaultProxy
from .rules import JsonObject, Plan, RulesRefused, load_plan

USAGE_ERROR = 2
CODES = (
    "Exit codes: 0 every rule has fired, 1 one has not or a demand was not met, 2 the rules or "
    "their use are wrong."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", type=_address)
    parser.add_argument("--to", required=True, metavar="URL", help="the server, ws://…")
    parser.add_argument("--rules", type=Path, metavar="FILE", help="YAML (default: no fault)")
    parser.add_argument("--seed", type=int, default=0, help="of all chance (default: 0)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report here too")


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is not HOST:PORT")
    return host.strip("[]"), int(port)


def run(options: argparse.Namespace) -> int:
    """Runs the proxy until it is told to end; returns the exit code."""
    host, port = options.listen
    try:
        plan = load_plan(options.rules) if options.rules is not None else Plan()
        proxy = FaultProxy(options.to, plan, host=host, port=port, seed=options.seed)
        report = asyncio.run(_serve(proxy))
        if options.report is not None:
            options.report.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    except (RulesRefused, ValueError, OSError) as error:
        print(f"longcall-conformance: {error}", file=sys.stderr)
        return USAGE_ERROR
    _say({"report": report})
    return 0 if report["passed"] else 1


async def _serve(proxy: FaultProxy) -> JsonObject:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    loop.add_signal_handler(signal.SIGINT, over.set)
    loop.add_signal_handler(signal.SIGUSR1, lambda: _say({"report": proxy.report()}))
    await proxy.start()
    _say({"ready": True, "url": proxy.url})
    await over.wait()
    return await proxy.stop()


def _say(line: JsonObject) -> None:
    print(json.dumps(line))
    sys.stdout.flush()
