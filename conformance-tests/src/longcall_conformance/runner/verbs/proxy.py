# SPDX-License-Identifier: Apache-2.0
"""`proxy.…`: a fault proxy between a client and the server, scripted or under test.

A rule that never fires fails the play. The rules' form is `proxy.schema.json`.
"""

from __future__ import annotations

from typing import Any

from ...referee.fault_proxy import FaultProxy, RulesRefused, parse_plan, parse_rules
from ..play import Play, StepFailed
from ..vocabulary import verb

JsonObject = dict[str, Any]


def _plan(arguments: JsonObject) -> JsonObject:
    given: JsonObject = {key: arguments[key] for key in ("rules", "random") if key in arguments}
    return given or {"rules": []}


def _inspect(arguments: JsonObject) -> None:
    plan = {"rules": [arguments["rule"]]} if "rule" in arguments else _plan(arguments)
    try:
        parse_plan(plan)
    except RulesRefused as error:
        raise ValueError(str(error)) from None


@verb(
    "proxy.start",
    required=("as", "bind"),
    optional=("rules", "random", "seed"),
    defines=("as",),
    inspect=_inspect,
)
async def start(play: Play, arguments: JsonObject) -> None:
    """Puts a proxy before the server; `bind: {through: $.url}` keeps where it listens."""
    proxy = FaultProxy(
        play.default_url(),
        parse_plan(_plan(arguments)),
        seed=arguments.get("seed", 0),
        record=play.trace.frames,
        name=arguments["as"],
    )
    play.proxies[arguments["as"]] = proxy
    await proxy.start()
    play.bind({"url": proxy.url}, arguments)


@verb("proxy.add", required=("on", "rule"), uses=("on",), inspect=_inspect)
async def add(play: Play, arguments: JsonObject) -> None:
    """One more rule; it counts frames from now on."""
    (rule,) = parse_rules([arguments["rule"]])
    play.proxy(arguments["on"]).add(rule)


@verb("proxy.fired", required=("on", "rule"), optional=("count",), uses=("on",))
async def fired(play: Play, arguments: JsonObject) -> None:
    """Waits until a rule has made its fault, `count` times."""
    await play.proxy(arguments["on"]).fired(arguments["rule"], arguments.get("count", 1))


@verb("proxy.connected", required=("on", "count"), uses=("on",))
async def connected(play: Play, arguments: JsonObject) -> None:
    """Waits until so many WebSockets have been opened through it."""
    await play.proxy(arguments["on"]).connected(arguments["count"])


@verb("proxy.release", required=("on", "rule"), uses=("on",))
async def release(play: Play, arguments: JsonObject) -> None:
    """Lets go of what a rule holds."""
    try:
        play.proxy(arguments["on"]).release(arguments["rule"])
    except ValueError as error:
        raise StepFailed(str(error)) from None


@verb("proxy.cut", required=("on", "how"), uses=("on",))
async def cut(play: Play, arguments: JsonObject) -> None:
    """Ends what is connected now: `fin`, `reset`, or a `blackhole`."""
    try:
        play.proxy(arguments["on"]).cut(arguments["how"])
    except ValueError as error:
        raise StepFailed(str(error)) from None
