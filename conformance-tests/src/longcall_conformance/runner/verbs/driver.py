# SPDX-License-Identifier: Apache-2.0
"""`driver.…`: the SDK under test, through its driver."""

from __future__ import annotations

import asyncio
from typing import Any

from ..driver import CommandFailed
from ..play import Play
from ..vocabulary import verb

JsonObject = dict[str, Any]

_SUBMISSION = ("payload", "request_id", "deadline_ms", "delay_ms", "priority", "metadata")


@verb("driver.connect", required=("as",), optional=("url", "token", "tuning"), defines=("as",))
async def connect(play: Play, arguments: JsonObject) -> None:
    """Makes a client; `token: ask` lets it ask for its tokens (`driver.token` answers)."""
    url = arguments.pop("url", None) or play.default_url()
    token = arguments.pop("token", play.tokens["alice"])
    fixed = {} if token == "ask" else {"token": token}
    client = arguments.pop("as")
    await play.ask("connect", {"client": client, "url": url, **fixed, **arguments})


@verb(
    "driver.submit",
    required=("client", "handle", "action"),
    optional=_SUBMISSION,
    defines=("handle",),
    uses=("client",),
)
async def submit(play: Play, arguments: JsonObject) -> None:
    """Begins a durable request."""
    await play.ask("submit", arguments)


@verb(
    "driver.call",
    required=("client", "handle", "action"),
    optional=_SUBMISSION,
    defines=("handle",),
    uses=("client",),
)
async def call(play: Play, arguments: JsonObject) -> None:
    """Begins a call."""
    await play.ask("call", arguments)


@verb(
    "driver.attach",
    required=("client", "handle", "request_id"),
    defines=("handle",),
    uses=("client",),
)
async def attach(play: Play, arguments: JsonObject) -> None:
    """Follows a request by its id."""
    await play.ask("attach", arguments)


@verb("driver.cancel", required=("handle",), optional=("reason",), uses=("handle",))
async def cancel(play: Play, arguments: JsonObject) -> None:
    """Does not wait: the server may have to answer in a later step (`cancel.done` tells)."""
    await _later(play, "cancel", arguments, "handle")


async def _later(play: Play, command: str, arguments: JsonObject, of: str) -> None:
    """Has the driver do something that the peer must answer first; an event tells the reply."""

    async def wait() -> None:
        done: JsonObject = {"ev": f"{command}.done", of: arguments[of]}
        try:
            done.update(await play.ask(command, arguments))
        except CommandFailed as error:
            done["err"] = error.error
        play.take_event(done)

    play.background.add(asyncio.create_task(wait()))
    await asyncio.sleep(0)


@verb("driver.detach", required=("handle",), uses=("handle",))
async def detach(play: Play, arguments: JsonObject) -> None:
    """Gives a handle up."""
    await play.ask("detach", arguments)


@verb("driver.snapshot", required=("handle",), optional=("match", "bind"), uses=("handle",))
async def snapshot(play: Play, arguments: JsonObject) -> None:
    """What the SDK says of a request now."""
    answer = await play.ask("snapshot", {"handle": arguments["handle"]})
    play.expect(answer["snapshot"], arguments)


@verb(
    "driver.list",
    required=("client",),
    optional=("status", "action", "match", "bind", "later"),
    uses=("client",),
)
async def list_requests(play: Play, arguments: JsonObject) -> None:
    """Walks the owner's requests to their end; `later`: does not wait (`list.done` tells)."""
    asked: JsonObject = {
        key: arguments[key] for key in ("client", "status", "action") if key in arguments
    }
    if arguments.get("later"):
        await _later(play, "list", asked, "client")
    else:
        play.expect(await play.ask("list", asked), arguments)


@verb("driver.wait_state", required=("client", "state"), uses=("client",), feature="wait_state")
async def wait_state(play: Play, arguments: JsonObject) -> None:
    """Waits until a client is in a state: now, or later."""
    await play.ask("wait_state", arguments)


@verb(
    "driver.consume",
    required=("handle", "how"),
    optional=("every_ms",),
    uses=("handle",),
    feature="consume",
)
async def consume(play: Play, arguments: JsonObject) -> None:
    """How the application takes the events of a handle from now on: `stop`, `slow`, `drain`."""
    await play.ask("consume", arguments)


@verb("driver.give_up", required=("handle",), uses=("handle",), feature="give_up")
async def give_up(play: Play, arguments: JsonObject) -> None:
    """The caller of a call gives up, as by cancelling its task; no `cancel` of the request."""
    await play.ask("give_up", arguments)


@verb("driver.net", required=("state",), feature="net")
async def net(play: Play, arguments: JsonObject) -> None:
    """The environment says that there is a network, or none: `online`, `offline`."""
    await play.ask("net", arguments)


@verb("driver.close", required=("client",), uses=("client",))
async def close(play: Play, arguments: JsonObject) -> None:
    """Closes a client."""
    await play.ask("close", arguments)


@verb("driver.token", required=("client",), optional=("token", "fail", "reason"), uses=("client",))
async def token(play: Play, arguments: JsonObject) -> None:
    """Answers the next time that the SDK asks for a token."""
    wanted = {"ev": "token.needed", "client": arguments["client"]}
    if "reason" in arguments:
        wanted["match"] = {"reason": arguments["reason"]}
    number = (await play.next_event(wanted))["ask"]
    if arguments.get("fail"):
        await play.ask("token_fail", {"ask": number})
    else:
        given = arguments.get("token", play.tokens["alice"])
        await play.ask("token", {"ask": number, "token": given})


@verb(
    "driver.event",
    required=("ev",),
    optional=("handle", "client", "match", "bind"),
    uses=("handle", "client"),
)
async def event(play: Play, arguments: JsonObject) -> None:
    """Waits for an event of the driver."""
    play.bind(await play.next_event(arguments), arguments)
