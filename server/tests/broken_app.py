# SPDX-License-Identifier: Apache-2.0
"""A handler that breaks the worker which runs it, as only a defect of the server could."""

from typing import Never

from longcall_server import Handlers, RequestContext
from longcall_server.worker.leases import Leases

handlers = Handlers()


@handlers.register("break")
async def break_(ctx: RequestContext) -> int:
    async def defect(self: Leases) -> Never:
        raise AssertionError("a defect")

    Leases._renew = defect  # type: ignore[method-assign]
    await ctx.progress(details="x" * 8_000)  # too long for the bus: a renewal is asked for
    return 1
