# SPDX-License-Identifier: Apache-2.0
"""`serve` with TLS: a process as an operator starts it, on the loop that it chooses."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import aiohttp
import pytest
from certificates import pair
from processes import serving
from wire import PATIENCE, token

pytestmark = pytest.mark.slow


async def test_it_says_wss_serves_renews_and_stops(tmp_path: Path) -> None:
    first, second = pair(), pair()
    certificate, key = first.write(tmp_path)
    flags = ("--tls-cert", str(certificate), "--tls-key", str(key))
    async with serving(tmp_path, *flags) as server:
        assert server.url.startswith("wss://127.0.0.1:")
        assert server.ready["http_url"].startswith("https://127.0.0.1:")
        for trusted in (first, second):
            trusted.write(tmp_path)
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(
                    server.url, protocols=("longcall.v1",), ssl=trusted.trusting()
                ) as ws,
                asyncio.timeout(PATIENCE),
            ):
                await ws.send_json({"type": "hello", "token": token()})
                assert json.loads(await ws.receive_str())["type"] == "welcome"
        server.signal(signal.SIGTERM)
        code, errors = await server.ended()
    assert code == 0
    assert "took the renewed certificate" in errors
