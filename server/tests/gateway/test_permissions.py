# SPDX-License-Identifier: Apache-2.0
"""Who may what: every message of a client and every route, by every kind of caller.

A row is a message or a route, a column a kind of caller; each cell is asked of a gateway of its
own. The answers are written by hand. A new type of message or a new route without a row fails.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from gateway_harness import Harness, Peer, gateway, token
from service_harness import ANN, principal

from longcall_server import Handlers, JsonValue, RequestContext
from longcall_server.core.messages import ClientMessage

# Two requests of ann of acme are stored: "open" has been submitted, "done" has made a file.

CALLERS: dict[str, str | None] = {
    # Ann herself.
    "bare": token("ann", "nothing"),
    "fits": token("ann", "request:st*"),
    "other": token("ann", "request:stored.*", "request:S*", "request:store"),
    # Others of her tenant.
    "reader": token("rita", "requests:read:tenant"),
    "admin": token("root", "admin"),
    "bob": token("bob", "request:*"),
    # A user of another tenant with her name and every permission.
    "alien": token("ann", "request:*", "requests:read:tenant", "admin", tenant="other"),
    # Nobody.
    "late": token("ann", "request:*", "admin", ttl_s=-10),
    "none": None,
}

THE_OTHERS = (
    *(principal(sub) for sub in ("rita", "root", "bob", "mallory")),
    principal("ann", tenant="other"),
)

Ask = Callable[[Harness, str | None], Awaitable[str]]


# --- How a cell is asked -------------------------------------------------------------------------


def message(type: str, **fields: Any) -> Ask:
    """A message of this type, on a connection of the caller; what is said of it."""

    async def ask(at: Harness, who: str | None) -> str:
        peer = await at.connect()
        if not await _is_welcomed(peer, who):
            return str(await peer.close_code())
        await peer.send({"type": type, **{name: _of(value, who) for name, value in fields.items()}})
        await peer.send({"type": "ping", "nonce": "behind"})
        # Decided beside each other, the two answers may come in any order.
        answer = await peer.receive()
        if answer == {"type": "pong", "nonce": "behind"} and type in ANSWERED_LATER:
            answer = await peer.receive()
        return _said(answer)

    return ask


def _of(value: Any, who: str | None) -> Any:
    return value(who) if callable(value) else value


async def _is_welcomed(peer: Peer, who: str | None) -> bool:
    await peer.send({"type": "hello"} if who is None else {"type": "hello", "token": who})
    frame = await peer.ws.receive()
    return frame.data is not None and '"welcome"' in str(frame.data)


ANSWERED_LATER = {"request", "attach", "cancel", "list"}


def _said(answer: dict[str, Any]) -> str:
    match answer:
        case {"type": "pong", "nonce": "behind"}:
            return "-"
        case {"type": "error", "error": {"code": code}}:
            return str(code)
        case {"type": "acknowledgment", "duplicate": True}:
            return "duplicate"
        case {"type": "listing", "requests": requests}:
            return "+".join(sorted(request["id"] for request in requests)) or "empty"
    return str(answer["type"])


def route(method: str, path: str, body: Any = None) -> Ask:
    """A request over HTTP; the status of the answer."""

    async def ask(at: Harness, who: str | None) -> str:
        headers = {} if who is None else {"Authorization": f"Bearer {who}"}
        async with at.client().request(
            method, f"{at.http}{path}", headers=headers, json=body
        ) as response:
            return str(response.status)

    return ask


async def upgrade(at: Harness, who: str | None) -> str:
    """PROTOCOL 3.2.6: no upgrade is refused for its token; the hello is."""
    peer = await at.connect(headers={} if who is None else {"Authorization": f"Bearer {who}"})
    await peer.send({"type": "hello"})
    frame = await peer.ws.receive()
    return str(peer.ws.close_code or json.loads(frame.data)["type"])


def other_token(who: str | None) -> str:
    """A good token of somebody else."""
    return token("mallory", "request:*")


# --- The matrix ----------------------------------------------------------------------------------

FILE = "/v1/requests/{id}/files/{name}"
STORED = {"action": "stored", "payload": {"of": "ann"}}
WORD = {"message": "hello", "to": {"all": True}}

ASKS: dict[str, tuple[str, Ask]] = {
    "hello": ("hello", upgrade),
    "hello again": ("hello", message("hello", token=other_token)),
    "refresh as oneself": ("refresh", message("refresh", token=lambda who: who)),
    "refresh as another": ("refresh", message("refresh", token=other_token)),
    "request": ("request", message("request", id="new", **STORED)),
    "request, quick": ("request", message("request", id="new", action="stquick")),
    "request, quick, sent again": (
        "request",
        message("request", id="new", action="stquick", resend=True),
    ),
    "request of no action": ("request", message("request", id="new", action="nonsense")),
    "request that is stored": ("request", message("request", id="open", **STORED)),
    "request of a stored id": ("request", message("request", id="open", action="stored")),
    "attach to an open one": ("attach", message("attach", request_id="open", after_seq=0)),
    "attach to a finished one": (
        "attach",
        message("attach", request_id="done", after_seq=0, follow=False),
    ),
    "cancel of an open one": ("cancel", message("cancel", request_id="open")),
    "cancel of a finished one": ("cancel", message("cancel", request_id="done")),
    "detach": ("detach", message("detach", request_id="open")),
    "list": ("list", message("list", id="l")),
    "list of ann": ("list", message("list", id="l", sub="ann")),
    "list of bob": ("list", message("list", id="l", sub="bob")),
    "ping": ("ping", message("ping")),
    "pong": ("pong", message("pong")),
    "the upgrade": ("GET /v1/connect", upgrade),
    "a file": (f"GET {FILE}", route("GET", "/v1/requests/done/files/a.txt")),
    "a file's head": (f"HEAD {FILE}", route("HEAD", "/v1/requests/done/files/a.txt")),
    "an announcement": ("POST /v1/announcements", route("POST", "/v1/announcements", WORD)),
    "health": ("GET /healthz", route("GET", "/healthz")),
    "health's head": ("HEAD /healthz", route("HEAD", "/healthz")),
    "readiness": ("GET /readyz", route("GET", "/readyz")),
    "readiness' head": ("HEAD /readyz", route("HEAD", "/readyz")),
}
"""Each row: the message's type or the route, and how it is asked."""

MATRIX = """
                            bare  fits  other reader admin bob   alien late  none
hello                       | welc  welc  welc  welc  welc  welc  welc  4401  4401
hello again                 | inval inval inval inval inval inval inval 4401  4401
refresh as oneself          | refr  refr  refr  refr  refr  refr  refr  4401  4401
refresh as another          | unaut unaut unaut unaut unaut unaut unaut 4401  4401
request                     | forb  ack   forb  forb  forb  ack   ack   4401  4401
request, quick              | forb  resp  forb  forb  forb  resp  resp  4401  4401
request, quick, sent again  | forb  ack   forb  forb  forb  ack   ack   4401  4401
request of no action        | forb  forb  forb  forb  forb  unkno unkno 4401  4401
request that is stored      | dupl  dupl  dupl  forb  forb  ack   ack   4401  4401
request of a stored id      | confl confl confl forb  forb  ack   ack   4401  4401
attach to an open one       | snap  snap  snap  nofnd nofnd nofnd nofnd 4401  4401
attach to a finished one    | snap  snap  snap  nofnd nofnd nofnd nofnd 4401  4401
cancel of an open one       | snap  snap  snap  nofnd nofnd nofnd nofnd 4401  4401
cancel of a finished one    | snap  snap  snap  nofnd nofnd nofnd nofnd 4401  4401
detach                      | -     -     -     -     -     -     -     4401  4401
list                        | both  both  both  empty empty empty empty 4401  4401
list of ann                 | both  both  both  both  forb  forb  empty 4401  4401
list of bob                 | forb  forb  forb  empty forb  empty empty 4401  4401
ping                        | pong  pong  pong  pong  pong  pong  pong  4401  4401
pong                        | -     -     -     -     -     -     -     4401  4401
the upgrade                 | welc  welc  welc  welc  welc  welc  welc  4401  4401
a file                      | 200   200   200   404   404   404   404   401   401
a file's head               | 200   200   200   404   404   404   404   401   401
an announcement             | 403   403   403   403   202   403   202   401   401
health                      | 200   200   200   200   200   200   200   200   200
health's head               | 200   200   200   200   200   200   200   200   200
readiness                   | 200   200   200   200   200   200   200   200   200
readiness' head             | 200   200   200   200   200   200   200   200   200
"""

WORDS = {
    "welc": "welcome",
    "inval": "VALIDATION_ERROR",
    "refr": "refreshed",
    "unaut": "UNAUTHORIZED",
    "forb": "FORBIDDEN",
    "ack": "acknowledgment",
    "resp": "response",
    "unkno": "UNKNOWN_ACTION",
    "dupl": "duplicate",
    "confl": "CONFLICT",
    "snap": "snapshot",
    "nofnd": "NOT_FOUND",
    "both": "done+open",
}


def cells() -> Iterator[tuple[str, str, str]]:
    """Row, caller, answer."""
    heads, *rows = MATRIX.strip().splitlines()
    for line in rows:
        row, _, answers = line.partition("|")
        for caller, answer in zip(heads.split(), answers.split(), strict=True):
            yield row.strip(), caller, WORDS.get(answer, answer)


@pytest.fixture
def handlers() -> Handlers:
    made = Handlers()

    @made.register("stored")
    async def stored(ctx: RequestContext, payload: JsonValue) -> None:
        async with ctx.file("a.txt") as file:
            await file.write(b"a")

    @made.register("stquick", durable=False)
    async def quick(ctx: RequestContext) -> None:
        pass

    return made


@pytest.mark.slow
@pytest.mark.clause(
    "3.4.2", "3.4.4", "3.5.1", "3.5.5", "3.5.7", "3.5.8", "10.5.1", "10.5.2", "10.48.1", "10.48.2"
)
@pytest.mark.parametrize(("row", "caller", "answer"), list(cells()))
async def test_a_caller_gets_what_the_matrix_says(
    handlers: Handlers, tmp_path: Path, row: str, caller: str, answer: str
) -> None:
    async with gateway(handlers, tmp_path) as at:
        await at.desk.submit("stored", id="done")
        await at.desk.node.finished(at.desk.key("done"))
        await at.desk.submit("stored", STORED["payload"], id="open", delay_ms=3_600_000)
        _, ask = ASKS[row]
        assert await ask(at, CALLERS[caller]) == answer
        # What was refused has left nothing behind, at nobody's.
        stored = {"open"} if row.startswith("request") and "stored" in row else {"new"}
        for name in ("new", "open"):
            for who in (*THE_OTHERS, *((ANN,) if name == "new" else ())):
                if not (answer == "acknowledgment" and name in stored):
                    assert await at.desk.store.get(at.desk.key(name, who)) is None
        cancelled = (await at.desk.node.record(at.desk.key("open"))).cancel_requested_at
        was_cancelled = row == "cancel of an open one" and answer == "snapshot"
        assert (cancelled is not None) is was_cancelled


async def test_every_message_and_every_route_and_every_caller_is_in_the_matrix(at: Harness) -> None:
    messages = {model.model_fields["type"].default for model in client_messages()}
    routes = {
        f"{route.method} {route.resource.canonical}"
        for route in at.app.router.routes()
        if route.resource is not None
    }
    assert {"request", "attach"} < messages
    assert {what for what, _ in ASKS.values()} == messages | routes
    assert {(row, caller) for row, caller, _ in cells()} == set(itertools.product(ASKS, CALLERS))


def client_messages() -> tuple[Any, ...]:
    """The models of all that a client sends, as generated from the schema."""
    union, _ = get_args(ClientMessage.__value__)
    return get_args(union)
