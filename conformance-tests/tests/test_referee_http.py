# SPDX-License-Identifier: Apache-2.0
"""HTTP by hand, against a server that says what it is told to say."""

from __future__ import annotations

import asyncio

import pytest

from longcall_conformance.referee.http import HttpAnswer, ask_http


async def asked(answer: bytes, body: str = "") -> tuple[bytes, HttpAnswer]:
    """What was sent, and what came of the answer."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(
            head + await reader.readexactly(int(head.split(b"Length: ")[1].split(b"\r")[0]))
        )
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"ws://127.0.0.1:{port}/v1/connect"
        told = await ask_http(url, "POST", "/v1/x", token="t", body=body)
        return seen[0], told


async def test_an_answer_has_status_headers_and_json() -> None:
    _, answer = await asked(b'HTTP/1.1 202 Accepted\r\nX-A: b\r\n\r\n{"ok": [1]}')
    assert answer == HttpAnswer(202, {"x-a": "b"}, {"ok": [1]})


async def test_what_is_no_json_is_nothing() -> None:
    _, answer = await asked(b"HTTP/1.1 404 Not Found\r\n\r\n<html>")
    assert (answer.status, answer.body) == (404, None)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"SSH-2.0\r\n\r\n"])
async def test_what_is_no_http_is_refused(answer: bytes) -> None:
    with pytest.raises(ValueError, match="no answer of HTTP"):
        await asked(answer)


async def test_token_and_body_are_sent() -> None:
    sent, _ = await asked(b"HTTP/1.1 200 OK\r\n\r\n", body='{"u": "\u00fc"}')
    assert sent.startswith(b"POST /v1/x HTTP/1.1\r\n")
    assert b"Authorization: Bearer t\r\n" in sent
    assert sent.endswith('\r\n\r\n{"u": "\u00fc"}'.encode())
