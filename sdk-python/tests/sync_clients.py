# SPDX-License-Identifier: Apache-2.0
"""Clients of `longcall.sync` for tests whose peer lives in the loop of the test."""

from __future__ import annotations

import threading
from typing import Any

from fronts import in_thread
from peer import Peer, Talk

import longcall
from longcall import Options
from longcall.sync import Client, RequestHandle
from longcall.testing.messages import snapshot

FAST = Options(backoff_initial=0.01, backoff_maximum=0.05, close_timeout=0.5)


def client_of(peer: Peer, **arguments: Any) -> Client:
    arguments.setdefault("token", "secret")
    arguments.setdefault("options", FAST)
    return longcall.sync.connect(peer.url, **arguments)


def our_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("longcall")]


async def echo(talk: Talk, count: int) -> None:
    """Answers so many requests with their payload."""
    for _ in range(count):
        request = await talk.expect("request")
        await talk.send(
            {"type": "response", "request_id": request["id"], "result": request["payload"]}
        )


async def attached(
    peer: Peer, client: Client, *events: dict[str, Any]
) -> tuple[RequestHandle[Any, Any], Talk]:
    """Attaches to `job`, and sends these events of it."""
    handle = await in_thread(lambda: client.attach("job"))
    talk = await peer.welcome()
    await talk.expect("attach", request_id="job")
    await talk.send(snapshot("job", last_seq=len(events)), *events)
    return handle, talk
