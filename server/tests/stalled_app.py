# SPDX-License-Identifier: Apache-2.0
"""The application of the tests with a reader that stops, and a probe in the server's outboxes.

The probe sees every frame as it is handed to a socket: what is held unsent is measured at its
greatest, not now and then.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from longcall_server import Handlers, JsonValue, RequestContext
from longcall_server.gateway.outbox import Outbox

handlers = Handlers()
CHUNK_BYTES = 65_536
LONG = timedelta(hours=1)


@dataclass
class Probe:
    """What the outboxes of this process have held since it was last asked."""

    most: int = 0
    """Bytes that one connection held unsent."""
    waits: int = 0
    """How often a frame had to wait because the bound was reached."""
    closed_with: list[int] = field(default_factory=list)
    """Close codes that the server gave."""


class Stage:
    """What is measured, and whether the pouring is over."""

    probe = Probe()
    poured = asyncio.Event()
    closed = asyncio.Event()


_post, _room, _close = Outbox.post, Outbox.room, Outbox.close


def _measured_post(self: Outbox, text: str) -> None:
    _post(self, text)
    Stage.probe.most = max(Stage.probe.most, self._transport.get_write_buffer_size())


async def _counted_room(self: Outbox) -> None:
    Stage.probe.waits += self.is_blocked
    await _room(self)


async def _noted_close(self: Outbox, code: int, reason: str, timeout_ms: int) -> None:
    Stage.probe.closed_with.append(code)
    Stage.closed.set()
    await _close(self, code, reason, timeout_ms)


Outbox.post = _measured_post  # type: ignore[method-assign]
Outbox.room = _counted_room  # type: ignore[method-assign]
Outbox.close = _noted_close  # type: ignore[method-assign]


def chunk_of(number: int) -> str:
    """The content of a chunk: no two are equal, and a byte too few or too many shows."""
    return f"{number:08d}" * (CHUNK_BYTES // 8)


@handlers.register("echo", durable=False)
async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """What others ask meanwhile."""
    return payload


@handlers.register("pour")
async def pour(ctx: RequestContext, payload: dict[str, int]) -> int:
    """Streams `chunks` chunks and reports `progress` times."""
    chunks, reports = payload["chunks"], payload["progress"]
    reported = 0
    for number in range(chunks):
        while reported < reports * (number + 1) // chunks:
            reported += 1
            await ctx.progress(100 * reported / reports, f"report {reported}")
        await ctx.chunk(chunk_of(number))
    Stage.poured.set()
    return chunks


@handlers.register("poured", durable=False, sync_window=LONG)
async def poured(ctx: RequestContext) -> dict[str, JsonValue]:
    """Answers when a pouring is over, with what was measured; the next one is measured anew."""
    await Stage.poured.wait()
    Stage.poured.clear()
    measured, Stage.probe = Stage.probe, Probe()
    return asdict(measured)


@handlers.register("closed", durable=False, sync_window=LONG)
async def closed(ctx: RequestContext) -> list[int]:
    """Answers when the server has begun to close a connection: with the codes so far."""
    await Stage.closed.wait()
    return Stage.probe.closed_with
