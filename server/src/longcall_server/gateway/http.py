# SPDX-License-Identifier: Apache-2.0
"""The routes over plain HTTP: files of requests, and health (PROTOCOL 8.6, 8.9)."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from aiohttp import ETag, hdrs, web

from longcall_server import answers
from longcall_server.core.codes import ErrorCode
from longcall_server.gateway.callers import caller
from longcall_server.gateway.context import GATEWAY, Gateway
from longcall_server.gateway.problems import problem, problem_of
from longcall_server.stores.base import OutcomeUnknown, RequestKey, StoredFile, StoreUnavailable

_BLOCK = 262_144
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)


async def healthz(_: web.Request) -> web.Response:
    """`GET /healthz`: the process works."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """`GET /readyz`: whether it takes requests."""
    gateway = request.app[GATEWAY]
    if gateway.ready() and not gateway.draining:
        return web.json_response({"status": "ready"})
    return web.json_response({"status": "not ready"}, status=503)


async def file(request: web.Request) -> web.StreamResponse:
    """`GET /v1/requests/{id}/files/{name}`: a file that the handler attached, to its owner."""
    gateway = request.app[GATEWAY]
    principal = await caller(request)
    if isinstance(principal, web.Response):
        return principal
    key = RequestKey(principal.owner, request.match_info["id"])
    try:
        found = await _find(gateway, key, request.match_info["name"])
    except (StoreUnavailable, OutcomeUnknown):
        return problem_of(answers.unavailable().error)
    if found is None:
        return problem_of(answers.not_found().error)
    stored, stream = found
    try:
        return await _send(request, stored, stream)
    finally:
        await asyncio.to_thread(stream.close)


async def _find(gateway: Gateway, key: RequestKey, name: str) -> tuple[StoredFile, BinaryIO] | None:
    """The recorded file, opened. None for all that the caller has no file of."""
    folder = gateway.settings.files_dir
    record = await gateway.service.find(key)
    if record is None or folder is None:
        return None
    for stored in record.files:
        if stored.name == name:
            stream = await asyncio.to_thread(_open, folder, stored)
            return None if stream is None else (stored, stream)
    return None


def _open(folder: Path, stored: StoredFile) -> BinaryIO | None:
    try:
        return (folder / stored.location).open("rb")
    except FileNotFoundError:
        return None  # removed with its request a moment ago


async def _send(request: web.Request, stored: StoredFile, stream: BinaryIO) -> web.StreamResponse:
    response = web.StreamResponse()
    # It never changes under its name, but it is its owner's alone.
    response.headers[hdrs.CACHE_CONTROL] = "private, no-cache"
    response.etag = stored.sha256
    etags = request.if_none_match
    if etags is not None and _matches(etags, stored.sha256):
        response.set_status(304)
        await response.prepare(request)
        return response
    start, end = 0, stored.size
    wanted = _range(request, stored)
    if wanted is not None:
        start, end = wanted
        if start >= end:
            refusal = problem(ErrorCode.VALIDATION_ERROR, "The range lies outside of the file.")
            refusal.set_status(416)
            refusal.headers[hdrs.CONTENT_RANGE] = f"bytes */{stored.size}"
            return refusal
        response.set_status(206)
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{stored.size}"
    response.headers[hdrs.CONTENT_TYPE] = stored.media_type
    response.headers[hdrs.CONTENT_DISPOSITION] = (
        f"attachment; filename*=UTF-8''{quote(stored.name, safe='')}"
    )
    # What a handler calls a text must not become a page of this server's origin.
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers[hdrs.ACCEPT_RANGES] = "bytes"
    response.content_length = end - start
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        await _copy(stream, response, start, end)
    await response.write_eof()
    return response


async def _copy(stream: BinaryIO, response: web.StreamResponse, start: int, end: int) -> None:
    await asyncio.to_thread(stream.seek, start)
    left = end - start
    while left > 0:
        block = await asyncio.to_thread(stream.read, min(_BLOCK, left))
        if not block:
            raise OSError("a stored file is shorter than it was recorded")
        left -= len(block)
        await response.write(block)


def _matches(etags: tuple[ETag, ...], sha256: str) -> bool:
    return any(etag.value in ("*", sha256) for etag in etags)


def _range(request: web.Request, stored: StoredFile) -> tuple[int, int] | None:
    """The bytes asked for, as `[start, end)`, empty if there are none; None for the whole file.

    A range that is not understood is ignored, and so are several at once (RFC 9110, 14.2).
    """
    condition = request.headers.get(hdrs.IF_RANGE)
    if condition is not None and condition != f'"{stored.sha256}"':
        return None
    match = _RANGE.fullmatch(request.headers.get(hdrs.RANGE, ""))
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        return max(0, stored.size - int(match[2])), stored.size
    start = int(match[1])
    if not match[2]:
        return start, stored.size
    last = int(match[2])
    return None if last < start else (start, min(last + 1, stored.size))
