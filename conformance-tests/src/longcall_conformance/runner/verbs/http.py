# SPDX-License-Identifier: Apache-2.0
"""`http.…`: what a server under test is asked over HTTP."""

from __future__ import annotations

from typing import Any

from ...referee.http import ask_http
from ..play import Play, StepFailed
from ..vocabulary import verb

JsonObject = dict[str, Any]


@verb(
    "http.ask",
    required=("method", "path", "status"),
    optional=("token", "body", "match", "bind"),
)
async def ask(play: Play, arguments: JsonObject) -> None:
    """The answer must have this status; `match` and `bind` look at its JSON."""
    url = play.server_under_test().url
    given = {name: arguments[name] for name in ("token", "body") if name in arguments}
    answer = await ask_http(url, arguments["method"], arguments["path"], **given)
    body = answer.body if isinstance(answer.body, dict) else {"": answer.body}
    if answer.status != arguments["status"]:
        got = {**body, "status": answer.status}
        raise StepFailed(f"answered with {answer.status}: {body!r:.300}", got)
    play.expect(body, arguments)
