# SPDX-License-Identifier: Apache-2.0
"""An operator's word at real server processes of one data folder."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from processes import Process, serving
from wire import Wire, connected, token

pytestmark = pytest.mark.slow


async def announce(server: Process, message: str) -> None:
    """Says something to everybody, at one of the servers."""
    bearer = token("root", "operators", ("admin",))
    body: dict[str, Any] = {"message": message, "to": {"all": True}}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {bearer}"}) as session,
        session.post(f"{server.ready['http_url']}/v1/announcements", json=body) as response,
    ):
        assert response.status == 202


async def command(folder: Path, message: str) -> str:
    """The same on the data folder; what the command prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-m", "longcall_server", "announce", message),
        *("--all", "--data-dir", str(folder / "data")),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def heard(*wires: Wire) -> set[str]:
    return {(await wire.receive())["message"] for wire in wires}


@pytest.mark.clause("4.7.4", "8.10.2")
async def test_every_server_of_the_folder_tells_its_clients(tmp_path: Path) -> None:
    async with (
        serving(tmp_path) as elder,
        serving(tmp_path, "--no-worker") as newcomer,
        connected(elder.url) as one,
        connected(newcomer.url) as two,
    ):
        # The newcomer knows the elder, and is known to him once he has heard it.
        for server, message in ((newcomer, "from the newcomer"), (elder, "from the elder")):
            await announce(server, message)
            assert await heard(one, two) == {message}
        said = await command(tmp_path, "from the folder")
        assert said == "on its way to the clients of 2 server processes\n"
        assert await heard(one, two) == {"from the folder"}
        elder.signal(signal.SIGKILL)
        await elder.ended()
        said = await command(tmp_path, "to who is left")
        assert said == "on its way to the clients of 1 server process\n"
        assert await heard(two) == {"to who is left"}
