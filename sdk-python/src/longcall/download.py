# SPDX-License-Identifier: Apache-2.0
"""Files of a request over HTTP, by the standard library. PROTOCOL 8.6."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from .codes import ErrorCode
from .errors import ConfigurationError, DownloadError, LongcallError, request_error
from .events import Download

BLOCK: Final = 256 * 1024
MAX_PROBLEM: Final = 64 * 1024


def download_file(
    base: str,
    request_id: str,
    name: str,
    path: Path,
    *,
    token: str | None,
    headers: Mapping[str, str],
    timeout: float,
    stopped: threading.Event,
) -> Download:
    """Downloads a file to `path`, which is replaced only by the whole and right one. Blocks.

    Args:
        base: The HTTP address of the server, see `options.http_base`.
        request_id: The request.
        name: The file's name.
        path: The file to write; a folder: there, under the same name.
        token: The token; None where it travels in `headers`.
        headers: More headers.
        timeout: Seconds that the server may be silent.
        stopped: Set by somebody else when nobody wants the file any more.

    Raises:
        RequestError: The server refused, with its code.
        DownloadError: It did not arrive whole, or other bytes than announced.
        ConfigurationError: The name is no name of a file.
        OSError: It cannot be written, or the server cannot be reached.
    """
    if name in ("", "..") or name != Path(name).name:
        raise ConfigurationError(f"not the name of a file: {name!r}")
    target = path / name if path.is_dir() else path
    # The id's alphabet needs no quoting, but for ':' in a path of another server's making.
    url = f"{base}/v1/requests/{quote(request_id, safe='')}/files/{quote(name, safe='')}"
    request = Request(url, headers=dict(headers))
    if token is not None:
        # Not sent on to where a redirect may lead.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urlopen(request, timeout=timeout) as response:
            expected = _sha256_of(response.headers.get("ETag"))
            return _save(response, target, expected, stopped)
    except HTTPError as error:
        with error:
            raise _refusal(error, request_id) from None
    except http.client.HTTPException as error:
        raise DownloadError(f"the download broke off: {type(error).__name__}") from error


def _save(
    response: http.client.HTTPResponse, target: Path, expected: str, stopped: threading.Event
) -> Download:
    digest, size = hashlib.sha256(), 0
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            while block := response.read(BLOCK):
                if stopped.is_set():
                    raise DownloadError("the download was stopped")
                digest.update(block)
                size += len(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != expected:
            raise DownloadError(
                f"the file that arrived is not the one announced: {size} bytes with SHA-256 "
                f"{digest.hexdigest()}, not {expected}"
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return Download(str(target), size, expected)


def _sha256_of(etag: str | None) -> str:
    value = (etag or "").removeprefix("W/").strip('"').lower()
    if len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise DownloadError(f"the server announces no SHA-256 to check the file by (ETag {etag!r})")
    return value


def _refusal(error: HTTPError, request_id: str) -> LongcallError:
    """Returns the error of an RFC 9457 problem document. PROTOCOL 8.1."""
    try:
        problem = json.loads(error.read(MAX_PROBLEM))
    except (ValueError, OSError, http.client.HTTPException):
        problem = None
    code = problem.get("code") if isinstance(problem, dict) else None
    if not isinstance(code, str) or ErrorCode.of(code) is None:
        return DownloadError(f"the server answered {error.code} {error.reason}")
    text = problem.get("detail") or problem.get("title") or ""
    return request_error(code, str(text), details=problem.get("details"), request_id=request_id)
