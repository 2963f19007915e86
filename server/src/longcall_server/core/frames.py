# SPDX-License-Identifier: Apache-2.0
"""The small messages of the server as text.

Put together from parts that are JSON already: building a model only to write it out again would
cost several times as much. Request ids and ids of a `list` need no escaping (their pattern allows
no character that does); all other text does.
"""

from __future__ import annotations

import json
from typing import Final

from longcall_server.core.errors import Answered
from longcall_server.core.messages import ErrorInfo

PING: Final = '{"type":"ping"}'


def quoted(text: str) -> str:
    """A string as JSON."""
    return json.dumps(text, ensure_ascii=False)


def pong(nonce: str | None) -> str:
    """The answer to a ping."""
    return '{"type":"pong"}' if nonce is None else f'{{"type":"pong","nonce":{quoted(nonce)}}}'


def response(request_id: str, result_json: str) -> str:
    """The result of a quick request."""
    return f'{{"type":"response","request_id":"{request_id}","result":{result_json}}}'


def progress(request_id: str, body_json: str) -> str:
    """A ProgressState on its way to a follower."""
    return f'{{"type":"progress","request_id":"{request_id}",{body_json[1:]}'


def refusal(error: ErrorInfo, answered: Answered) -> str:
    """The refusal of one message (PROTOCOL 10.2)."""
    parts = ['{"type":"error"']
    if answered.request_id is not None:
        parts.append(f'"request_id":"{answered.request_id}"')
    if answered.list_id is not None:
        parts.append(f'"id":"{answered.list_id}"')
    if answered.type is not None:
        parts.append(f'"reply_to":{quoted(answered.type)}')
    parts.append(f'"error":{error.model_dump_json()}}}')
    return ",".join(parts)


def executed_error(request_id: str, error_json: str) -> str:
    """The failure of a quick request that was not stored (PROTOCOL 10.9)."""
    return (
        f'{{"type":"error","request_id":"{request_id}","reply_to":"request","executed":true,'
        f'"error":{error_json}}}'
    )


def refreshed(expires_at: str, server_time: str) -> str:
    """The new token is in force."""
    return f'{{"type":"refreshed","expires_at":"{expires_at}","server_time":"{server_time}"}}'


def goaway(reason: str, reconnect_after_ms: int) -> str:
    """The server drains."""
    return (
        f'{{"type":"goaway","reason":{quoted(reason)},"reconnect_after_ms":{reconnect_after_ms}}}'
    )
