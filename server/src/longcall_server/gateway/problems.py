# SPDX-License-Identifier: Apache-2.0
"""Errors over HTTP: RFC 9457 problem documents with the protocol's codes (PROTOCOL 8.1.4)."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from pydantic import MISSING

from longcall_server.core.codes import ERROR_CODES, ErrorCode
from longcall_server.core.errors import error_info
from longcall_server.core.messages import ErrorInfo
from longcall_server.gateway.socket import CONNECT_PATH

_log = logging.getLogger(__name__)

_CODES = {
    404: ErrorCode.NOT_FOUND,
    413: ErrorCode.PAYLOAD_TOO_LARGE,
    503: ErrorCode.UNAVAILABLE,
}


def problem(
    code: ErrorCode, message: str, *, status: int | None = None, **fields: Any
) -> web.Response:
    """A refusal of our own; `fields` are those of `error_info`."""
    return problem_of(error_info(code, message, **fields), status)


def problem_of_defect(incident: str) -> web.Response:
    """What is told of a defect of ours; what it was stands in the log under `incident`."""
    return problem(
        ErrorCode.INTERNAL_ERROR,
        "The server failed unexpectedly.",
        details={"incident_id": incident},
    )


def problem_of(info: ErrorInfo, status: int | None = None) -> web.Response:
    """An ErrorInfo as a response; the status is that of its code unless given."""
    code = ErrorCode.of(info.code) or ErrorCode.INTERNAL_ERROR
    status = ERROR_CODES[code].http_status if status is None else status
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": info.message,
        **info.model_dump(include={"code", "retryable", "retry_after_ms", "details"}),
    }
    response = web.Response(
        status=status, text=json.dumps(body), content_type="application/problem+json"
    )
    if info.retry_after_ms is not MISSING:
        response.headers[hdrs.RETRY_AFTER] = str(-(-info.retry_after_ms // 1000))
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return response


@web.middleware
def problems(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
    """Makes every error of a route a problem document; what it was stays in the log."""
    is_read = request.method == hdrs.METH_GET
    if is_read and request.path == CONNECT_PATH and hdrs.UPGRADE in request.headers:
        # A connection answers for itself, and lives long: it needs no frame of ours below it.
        return handler(request)
    return _guarded(request, handler)


async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = _CODES.get(error.status, ErrorCode.VALIDATION_ERROR)
        response = problem(code, f"{error.reason}.", status=error.status)
        if hdrs.ALLOW in error.headers:
            response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        return response
    except Exception:
        incident = uuid.uuid4().hex
        _log.exception("%s %s failed, incident %s", request.method, request.path, incident)
        return problem_of_defect(incident)
