# SPDX-License-Identifier: Apache-2.0
"""What is asked of every request before anything else: the name that it came to, and the page that
it came from (PROTOCOL 2.7). One check for upgrades and for all other routes."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from longcall_server.config.names import ANY, Network, normal_origin
from longcall_server.core.codes import ErrorCode
from longcall_server.gateway.addresses import Remote, TrustedProxies, peer_address
from longcall_server.gateway.origins import AllowedHosts, AllowedOrigins
from longcall_server.gateway.problems import problem
from longcall_server.telemetry import Seldom

HEALTH_ROUTES: Final = frozenset({"/healthz", "/readyz"})
"""They say nothing worth hiding, and their callers know an address and no name."""

_MOST_SHOWN = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class EntranceSettings:
    """Who is let in."""

    allowed_origins: tuple[str, ...] = ()
    """Origins of pages beside the server's own; `*`: all."""
    loopback_origins: bool = False
    """Whether pages of the browser's own machine are let in, at whatever port."""
    allowed_hosts: tuple[str, ...] = (ANY,)
    """Names of this server beside those of its machine; `*`: all; `*.example.com`: all below."""
    trusted_proxies: tuple[Network, ...] = ()
    """Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""


class Entrance:
    """The check, with what it goes by."""

    def __init__(self, settings: EntranceSettings, complaints: Seldom) -> None:
        self._complaints = complaints
        self.origins = AllowedOrigins(settings.allowed_origins, loopback=settings.loopback_origins)
        self.hosts = AllowedHosts(settings.allowed_hosts)
        self.proxies = TrustedProxies(settings.trusted_proxies)

    def remote(self, request: web.BaseRequest) -> Remote:
        """Where a request comes from."""
        headers = request.headers
        return self.proxies.remote(
            peer_address(request.transport),
            request.scheme,
            headers.getall(hdrs.X_FORWARDED_FOR, ()),
            headers.getall(hdrs.X_FORWARDED_PROTO, ()),
        )

    def refusal(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to a request that may not come in; None: it may."""
        if request.path in HEALTH_ROUTES:
            return None
        host = request.headers.get(hdrs.HOST, "")
        if not self.hosts.allows(host):
            self._complaints.warning(
                "requests to the host %s are refused: it is not in LONGCALL_ALLOWED_HOSTS",
                _shown(normal_origin(f"http://{host}")).removeprefix("http://"),
            )
            message = "This server does not answer under this name (see LONGCALL_ALLOWED_HOSTS)."
            return problem(
                ErrorCode.VALIDATION_ERROR, message, status=HTTPStatus.MISDIRECTED_REQUEST
            )
        origins = request.headers.getall(hdrs.ORIGIN, ())
        if not origins:
            return None  # no browser, or a page of this server that only reads
        own = f"{self.remote(request).scheme}://{host}"
        if len(origins) == 1 and self.origins.allows(origins[0], own):
            return None
        # A browser shows its page and its author neither status nor text of a refused upgrade.
        self._complaints.warning(
            "pages of the origin %s are refused: it is neither the server's own (%s) nor in "
            "LONGCALL_ALLOWED_ORIGINS",
            _shown(normal_origin(origins[0])),
            _shown(normal_origin(own)),
        )
        message = "Pages of this origin may not come here (see LONGCALL_ALLOWED_ORIGINS)."
        return problem(ErrorCode.FORBIDDEN, message)


def _shown(origin: str | None) -> str:
    """As it may stand in a log: names and numbers alone, and not for ever."""
    return "that is none" if origin is None else origin[:_MOST_SHOWN]
