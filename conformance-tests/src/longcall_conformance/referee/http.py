# SPDX-License-Identifier: Apache-2.0
"""One HTTP request by hand, and what it is answered with."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .handshake import parse_head


@dataclass(frozen=True)
class HttpAnswer:
    """An answer; `body` is what JSON stands in it, or None."""

    status: int
    headers: dict[str, str]
    body: Any


async def ask_http(
    url: str, method: str, path: str, *, token: str | None = None, body: Any = None
) -> HttpAnswer:
    """Asks the host of a ws:// address; `body` goes as JSON, text as it is.

    Raises `ValueError` for what is no HTTP, `OSError` where there is nobody.
    """
    parts = urlsplit(url)
    text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
    data = text.encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
    lines += [f"Content-Length: {len(data)}", "Content-Type: application/json"]
    lines += [f"Authorization: Bearer {token}"] if token is not None else []
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode() + data)
        answer = await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    head, separator, content = answer.partition(b"\r\n\r\n")
    line, headers = parse_head(head)
    if not separator or not line.startswith("HTTP/1.1 "):
        raise ValueError(f"no answer of HTTP: {answer[:200]!r}")
    told = None
    with contextlib.suppress(ValueError):
        told = json.loads(content)
    return HttpAnswer(int(line.split(" ")[1]), headers, told)
