# SPDX-License-Identifier: Apache-2.0
"""Sockets before anything was said on them: who may open one, and for how long it may say nothing.

The library's protocol with five differences: a socket beyond the count is closed at once, one on
which no request comes is closed in time, nothing that was received is repeated in an answer or in
the log (it may be a token), no answer tells which versions of what are at work here, and what a
handshake of TLS may take is bounded too.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from ssl import SSLContext
from typing import Any, cast

from aiohttp import hdrs, web
from aiohttp.http_exceptions import LineTooLong

from longcall_server.core.codes import ErrorCode
from longcall_server.gateway.addresses import peer_address, subscriber
from longcall_server.gateway.doors import Doors
from longcall_server.gateway.entrance import Entrance
from longcall_server.gateway.problems import problem, problem_of_defect

_log = logging.getLogger(__name__)

MAX_LINE_BYTES = 8_190
"""The longest request line, name of a header and value of a header."""
MAX_HEADERS = 64

_SERVER = "longcall-server"
_BACKLOG = 1_024
_TLS_GOODBYE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """How patient sockets are treated; in seconds."""

    request_timeout_s: float = 10.0
    """How long a handshake of TLS, and then the head of the first request, may take."""
    keepalive_timeout_s: float = 75.0
    """How long a socket may be idle between two requests; longer than proxies keep theirs."""
    shutdown_timeout_s: float = 1.0


class HttpProtocol(web.RequestHandler):
    """One socket, from its opening to its end."""

    __slots__ = ("_counted", "_doors", "_entrance", "_patience", "_subscriber", "_waiting")

    def __init__(
        self,
        manager: web.Server,
        entrance: Entrance,
        doors: Doors,
        settings: ListenerSettings,
    ) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # how the library is told of none
            logger=_log,
            keepalive_timeout=settings.keepalive_timeout_s,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
        )
        self._entrance = entrance
        self._doors = doors
        self._patience = settings.request_timeout_s
        self._subscriber: str | None = None
        self._counted = False
        self._waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        address = peer_address(transport)
        self._subscriber = None if self._entrance.proxies.trusts(address) else subscriber(address)
        self._counted = self._doors.open_socket(self._subscriber)
        super().connection_made(transport)
        if not self._counted:
            _abort(transport)
            return
        loop = asyncio.get_running_loop()
        self._waiting = loop.call_later(self._patience, _abort, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.began()
        if self._counted:
            self._counted = False
            self._doors.close_socket(self._subscriber)
        super().connection_lost(exc)

    def began(self) -> None:
        """The head of a request is here."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no request, and to a defect outside of all routes.

        The library's own would repeat the line that it could not read, to its sender and to the
        log.
        """
        self.began()
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer is sent already")
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.debug("what %s sent is no request: %s", request.remote, type(exc).__name__)
            if isinstance(exc, LineTooLong):
                status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            response = problem(
                ErrorCode.VALIDATION_ERROR, "This is no HTTP request.", status=status
            )
        else:
            incident = uuid.uuid4().hex
            _log.error("a request failed, incident %s", incident, exc_info=exc)
            response = problem_of_defect(incident)
        response.headers[hdrs.SERVER] = _SERVER  # no application prepares this one
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A defect; a broken body that nobody waits for any more is none: whoever has no token
        could fill the log with it."""
        if isinstance(kw.get("exc_info"), web.RequestPayloadError):
            _log.debug("a body that nobody reads is broken")
        else:
            super().log_exception(*args, **kw)


async def without_versions(_: web.BaseRequest, response: web.StreamResponse) -> None:
    """Before an answer is sent: the library's own header names it, Python, and the version of each.

    Whoever looks for what has a known hole would ask for nothing else.
    """
    response.headers[hdrs.SERVER] = _SERVER


def _abort(transport: asyncio.BaseTransport) -> None:
    # Not to be asked with `isinstance`: a transport of uvloop is no `asyncio.Transport`.
    cast("asyncio.Transport", transport).abort()


class Listener:
    """The listening socket of an application."""

    def __init__(
        self,
        app: web.Application,
        entrance: Entrance,
        doors: Doors,
        settings: ListenerSettings,
        *,
        tls: SSLContext | None = None,
    ) -> None:
        self._runner = web.AppRunner(
            app, handle_signals=False, shutdown_timeout=settings.shutdown_timeout_s
        )
        self._entrance = entrance
        self._doors = doors
        self._settings = settings
        self._tls = tls
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> int:
        """Begins to listen; the port. Raises `OSError` if that cannot be."""
        await self._runner.setup()
        manager = self._runner.server
        assert manager is not None

        def protocol() -> HttpProtocol:
            return HttpProtocol(manager, self._entrance, self._doors, self._settings)

        tls: dict[str, Any] = {}
        if self._tls is not None:
            tls = {
                "ssl": self._tls,
                "ssl_handshake_timeout": self._settings.request_timeout_s,
                "ssl_shutdown_timeout": _TLS_GOODBYE_S,
            }
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(protocol, host, port, backlog=_BACKLOG, **tls)
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    def stop(self) -> None:
        """Takes no new sockets."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Ends all that is open."""
        self.stop()
        await self._runner.cleanup()
