# SPDX-License-Identifier: Apache-2.0
"""Gets a document of keys over HTTP, guarded: what answers may be anything."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from aiohttp import hdrs

from longcall_server.auth.errors import KeyProblem

MAX_DOCUMENT_BYTES: Final = 262_144
_BLOCK: Final = 16_384


class Document:
    """`await document()` gets it. It follows no redirect and waits for ever: bound the time."""

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self.name = urlunsplit((parts.scheme, host, parts.path, "", ""))
        """The URL without what may be secret in it."""

    async def __call__(self) -> bytes:
        """Raises `KeyProblem` for every answer that is not the document."""
        # Uncompressed: a few bytes must not become millions.
        headers = {hdrs.ACCEPT: "application/jwk-set+json, application/json"}
        headers[hdrs.ACCEPT_ENCODING] = "identity"
        try:
            async with (
                aiohttp.ClientSession(headers=headers, auto_decompress=False) as session,
                session.get(self._url, allow_redirects=False) as response,
            ):
                return await _body(response)
        except (aiohttp.ClientError, OSError) as error:
            # The text of an error of aiohttp names the URL, which may hold a secret.
            raise KeyProblem(f"the request failed ({type(error).__name__})") from None


async def _body(response: aiohttp.ClientResponse) -> bytes:
    if 300 <= response.status < 400:
        raise KeyProblem("it redirects to elsewhere: set the URL where the keys are")
    if response.status != 200:
        raise KeyProblem(f"the answer has status {response.status}")
    body = bytearray()
    async for block in response.content.iter_chunked(_BLOCK):
        body += block
        if len(body) > MAX_DOCUMENT_BYTES:
            raise KeyProblem(f"the answer has more than {MAX_DOCUMENT_BYTES} bytes")
    return bytes(body)
