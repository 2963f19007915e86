# SPDX-License-Identifier: Apache-2.0
"""`server.…`: the processes of a server under test."""

from __future__ import annotations

from typing import Any

from ..play import Play
from ..server_process import READY_SECONDS
from ..vocabulary import verb

JsonObject = dict[str, Any]


@verb("server.kill", required=("how",), patience=READY_SECONDS)
async def kill(play: Play, arguments: JsonObject) -> None:
    """Ends the server: `kill9`, or `term` as a service manager does."""
    await play.server_under_test().kill(arguments["how"])


@verb("server.start", patience=READY_SECONDS)
async def start(play: Play, arguments: JsonObject) -> None:
    """Starts it again on the same data, at the same place."""
    await play.server_under_test().start()
