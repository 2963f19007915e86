# SPDX-License-Identifier: Apache-2.0
"""What an upgrade must be under RFC 6455 4.2.1, as far as aiohttp does not look at it."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion11, hdrs, web

from longcall_server.core.codes import ErrorCode
from longcall_server.gateway.problems import problem

_VERSION: Final = "13"
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{22}==")


def refusal_of_upgrade(request: web.Request) -> web.Response | None:
    """The answer to an upgrade that is none, or None: 426 for another version, else 400."""
    headers = request.headers
    if headers.getall(hdrs.SEC_WEBSOCKET_VERSION, []) != [_VERSION]:
        message = f"This server speaks version {_VERSION} of the WebSocket protocol."
        response = problem(ErrorCode.VALIDATION_ERROR, message, status=HTTPStatus.UPGRADE_REQUIRED)
        # RFC 6455 4.4, RFC 9110 15.5.22.
        response.headers[hdrs.SEC_WEBSOCKET_VERSION] = _VERSION
        response.headers[hdrs.UPGRADE] = "websocket"
        return response
    keys = headers.getall(hdrs.SEC_WEBSOCKET_KEY, [])
    if len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
        wrong = "Sec-WebSocket-Key is one header, with 16 bytes in base64."
    elif request.version < HttpVersion11:
        wrong = "An upgrade is a request of HTTP/1.1."
    elif len(headers.getall(hdrs.HOST, [])) != 1:
        wrong = "A request names its host once."
    else:
        return None
    return problem(ErrorCode.VALIDATION_ERROR, wrong)
