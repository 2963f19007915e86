# SPDX-License-Identifier: Apache-2.0
"""A handler that takes memory, so that a test which measures it can be seen to measure."""

from __future__ import annotations

from longcall_server import Handlers, RequestContext

handlers = Handlers()


@handlers.register("swell", durable=False)
async def swell(ctx: RequestContext, payload: int) -> int:
    """Takes so many bytes, uses them, and gives them back."""
    taken = bytearray(payload)
    taken[:: 1 << 12] = b"x" * len(taken[:: 1 << 12])
    return len(taken)
