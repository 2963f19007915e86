# SPDX-License-Identifier: Apache-2.0
"""The life of a client's connection: open, greet, stay alive, move, reconnect.

PROTOCOL 4.2, 6.7, 6.8, 9.4.

The states and their transitions are the generated table of `schema/states/connection.json`.
"""

from __future__ import annotations

from typing import Final

from ..backoff import Backoff
from ..codec import parse_timestamp
from ..codes import ClientAction, HeartbeatSide, close_action
from ..errors import ConnectionClosed, LongcallError, UnauthorizedError
from ..events import ClientState
from ..messages import (
    AnnouncementMessage,
    ErrorMessage,
    GoawayMessage,
    HelloMessage,
    PingMessage,
    PongMessage,
    RefreshedMessage,
    RefreshMessage,
    Software,
    WelcomeMessage,
)
from ..options import TokenReason
from ..states import (
    CONNECTION_INITIAL,
    CONNECTION_TERMINAL,
    CONNECTION_TRANSITIONS,
    ConnectionEvent,
    ConnectionState,
)
from . import convert
from .context import Context
from .effects import Announced, FetchToken, Open, SetReadLimit, StateChanged
from .heartbeat import Heartbeat
from .limits import TokenBucket
from .link import Link, LinkPhase
from .request import Phase, TrackedRequest
from .requests import Requests

REFRESH_AT: Final = 0.8
"""The part of a token's remaining life after which it is refreshed. PROTOCOL 10.41."""


class Connection:
    """Drives the links of a client; tells `Requests` when one is ready and when one is lost."""

    def __init__(self, context: Context, requests: Requests, version: str) -> None:
        options = context.options
        self._version = version
        self.state = ClientState(CONNECTION_INITIAL)
        self._context = context
        self._requests = requests
        self._backoff = Backoff(options.backoff_initial, options.backoff_maximum, options.random)
        self._links = 0
        self._token_reason: TokenReason = "connect"
        self._unauthorized = 0  # 4401 since the last welcome
        self._principal: str | None = None
        self._expires_at = 0.0  # of the token, on our clock
        self._has_welcomed = False

    @property
    def is_closed(self) -> bool:
        return self.state.name in CONNECTION_TERMINAL

    def closed_error(self, state: TrackedRequest | None) -> LongcallError:
        """Returns the error for what ends because the client is closed. PROTOCOL 7.3.4."""
        return ConnectionClosed(
            self.state.code,
            self.state.reason,
            request_id=state.id if state is not None else None,
            outcome_unknown=state is not None and state.phase is Phase.SENT,
        )

    # Opening.

    def open(self, now: float) -> None:
        """Opens the first link, or the next one now that the wait is over."""
        if self.state.name == ConnectionState.RECONNECTING:
            self._to(ConnectionEvent.RETRY)
        self._links += 1
        self._context.current = Link(self._links)
        self._context.effects.append(Open(self._links, self._token_reason))

    def opened(self, link: Link, token: str | None, now: float) -> None:
        """Greets. PROTOCOL 4.2: "MUST send `hello` as the first message of a connection"."""
        link.phase = LinkPhase.GREETING
        software = Software(name=self._client_name(), version=self._version)
        hello = HelloMessage(client=software)
        if token is not None:
            hello = HelloMessage(token=token, client=software)
        self._requests.sender.send_now(link, hello, now)
        self._context.timers.set(("welcome", link.id), now + self._context.options.open_timeout)

    def _client_name(self) -> str:
        name = f"{self._context.options.user_agent} longcall-python".strip()
        return name[-128:]

    def open_failed(
        self, link: Link, status: int | None, retry_after: float | None, reason: str, now: float
    ) -> None:
        """The upgrade was refused, or there was no socket or no token. PROTOCOL 9.4.8."""
        code = {401: 4401, 403: 4403}.get(status) if status is not None else None
        self.lost(link, code, reason, now, at_least=retry_after or 0.0)

    def welcomed(self, link: Link, message: WelcomeMessage, now: float) -> None:
        """The link is ready, unless it speaks for somebody else."""
        life = _seconds_between(message.server_time, message.expires_at)
        if self._principal is None:
            self._principal = message.principal
        elif self._principal != message.principal:  # PROTOCOL 10.40
            self._stop_as_another(link)
            return
        context, limits = self._context, message.limits
        context.timers.cancel(("welcome", link.id))
        link.phase = LinkPhase.READY
        link.is_ready_once = True
        link.limits = limits
        link.bucket = TokenBucket(limits.message_burst, limits.messages_per_minute, now)
        pings = message.heartbeat.from_ == HeartbeatSide.CLIENT  # PROTOCOL 6.7.4: unknown: server
        link.heartbeat = Heartbeat(message.heartbeat.interval_ms / 1000, pings=pings, now=now)
        context.timers.set(("heartbeat", link.id), link.heartbeat.next_timeout())
        context.effects.append(SetReadLimit(link.id, limits.max_message_bytes))
        self._backoff.start_over()
        self._unauthorized = 0
        self._token_reason = "connect"
        self._plan_refresh(life, now)
        self._to(ConnectionEvent.WELCOME, resumed=self._has_welcomed)
        self._has_welcomed = True
        self._requests.link_ready()

    # Messages about the connection.

    def message(self, link: Link, message: object, now: float) -> bool:
        """Takes a message about the connection itself; False: it is about something else."""
        match message:
            case PingMessage():
                self._context.send(link, PongMessage(nonce=message.nonce).model_dump_json())
            case PongMessage():
                pass
            case RefreshedMessage():
                if link is self._context.current:
                    life = _seconds_between(message.server_time, message.expires_at)
                    self._plan_refresh(life, now)
            case ErrorMessage(reply_to="refresh"):
                self._context.warn(f"the token was not refreshed: {message.error.code}")
                self._plan_another_refresh(now)
            case GoawayMessage():
                self._goaway(link, message, now)
            case AnnouncementMessage():
                self._context.effects.append(Announced(convert.announcement(message)))
            case _:
                return False
        return True

    def _goaway(self, link: Link, message: GoawayMessage, now: float) -> None:
        """Opens a new link while the old one still answers. PROTOCOL 6.8."""
        if link.phase is not LinkPhase.READY:
            return  # PROTOCOL 6.8.9: the second on the same connection
        link.phase = LinkPhase.DRAINING
        context = self._context
        context.current = None
        context.draining.append(link)
        context.timers.cancel("refresh")
        context.timers.set("open", now + message.reconnect_after_ms / 1000)
        self._to(ConnectionEvent.GOAWAY, reason=message.reason)

    def retire(self) -> None:
        """Closes old links once all has moved. PROTOCOL 10.38."""
        context = self._context
        ready = context.ready
        if ready is None or ready.attaches or self._requests.sender.is_moving:
            return
        for link in context.draining:
            if link.phase is LinkPhase.DRAINING and link.is_quiet:
                context.close(link, 1000, "moved")

    # Heartbeat and token.

    def check_heartbeat(self, link_id: int, now: float) -> None:
        link = self._context.link(link_id)
        if link is None or link.heartbeat is None:
            return
        if link.heartbeat.is_dead(now):  # PROTOCOL 6.7.6
            self._context.close(link, 4408, "no sign of life", abort=True)
            return
        if link.heartbeat.is_ping_due(now):
            self._requests.sender.send_now(link, PingMessage(), now)
        self._context.timers.set(("heartbeat", link_id), link.heartbeat.next_timeout())

    def check_welcome(self, link_id: int) -> None:
        """`welcome` did not come in time. PROTOCOL 4.2.10."""
        link = self._context.link(link_id)
        if link is not None:
            self._context.close(link, 4408, "no welcome", abort=True)

    def _plan_refresh(self, life: float, now: float) -> None:
        self._expires_at = now + life
        self._plan_another_refresh(now)

    def _plan_another_refresh(self, now: float) -> None:
        """Refreshes at 80 % of what remains. A token that has run out ends in 4401."""
        remaining = self._expires_at - now
        if remaining > 0:
            self._context.timers.set("refresh", now + max(1.0, REFRESH_AT * remaining))

    def fetch_token(self) -> None:
        """It is time to refresh the token."""
        if (link := self._context.ready) is not None:
            self._context.effects.append(FetchToken(link.id))

    def refresh(self, link: Link, token: str | None, now: float) -> None:
        """Sends the fresh token; None: there was none."""
        if link is not self._context.ready:
            return  # the next hello brings a fresh one
        if token is None:
            self._plan_another_refresh(now)
        else:
            self._requests.sender.send_now(link, RefreshMessage(token=token), now)

    # The end of a link.

    def lost(
        self, link: Link, code: int | None, reason: str, now: float, *, at_least: float = 0.0
    ) -> None:
        """A link is closed; `code` is what the server closed it with, None without any."""
        context = self._context
        was_current = link is context.current
        if was_current:
            context.current = None
        else:
            context.draining.remove(link)
        context.timers.cancel(("welcome", link.id))
        context.timers.cancel(("heartbeat", link.id))
        if link.is_ready_once and link.closed_with[0] in (4400, 1003):
            self._backoff.take_back()
        if link.is_ours:  # PROTOCOL 7.3.3
            code, reason = None, reason or link.closed_with[1]
        self._requests.link_lost(link, code)
        if self.is_closed:
            return
        if not was_current and context.ready is not None:
            return  # all has moved already
        action = ClientAction.RECONNECT if link.is_ours else close_action(code)
        if action is ClientAction.RECONNECT_WITH_FRESH_TOKEN and was_current:
            self._unauthorized += 1
            self._token_reason = "unauthorized"
            if self._unauthorized > 1:  # PROTOCOL 10.42
                action = ClientAction.STOP
        shown = link.closed_with[0] if link.is_ours else code
        if action is ClientAction.STOP:
            self._stop(code, reason)
        elif was_current:
            self._plan_open(shown, reason, now, at_least)
        elif self.state.name == ConnectionState.DRAINING and not context.draining:
            self._lost_while_moving(shown, reason, now)

    def _plan_open(self, code: int | None, reason: str, now: float, at_least: float) -> None:
        context = self._context
        context.timers.cancel("refresh")
        wait = max(at_least, self._backoff.wait())
        context.timers.set("open", now + wait)
        if self.state.name != ConnectionState.DRAINING or not context.draining:
            self._to(ConnectionEvent.LOST, retry_in=wait, code=code, reason=reason)

    def _lost_while_moving(self, code: int | None, reason: str, now: float) -> None:
        """The old link went before the new one was ready: now this is a reconnect as any other."""
        planned = self._context.timers.due("open")
        wait = max(0.0, planned - now) if planned is not None else 0.0
        self._to(ConnectionEvent.LOST, retry_in=wait, code=code, reason=reason)
        if planned is None:  # the new one is on its way
            self._to(ConnectionEvent.RETRY)

    # The end.

    def close(self) -> None:
        """The application closes the client. Nothing is cancelled on the server. PROTOCOL 9.3.4."""
        self._to(ConnectionEvent.CLOSE, reason="closed by the application")
        self._end(1000, "closed")

    def _stop(self, code: int | None, reason: str) -> None:
        self._to(ConnectionEvent.STOP, code=code, reason=reason)
        self._end(1000, "stopped")

    def _stop_as_another(self, link: Link) -> None:
        reason = "the token names another identity than the first one did"
        self._to(ConnectionEvent.STOP, reason=reason)

        def unauthorized(state: TrackedRequest | None) -> LongcallError:
            return UnauthorizedError(
                reason,
                code="UNAUTHORIZED",
                request_id=state.id if state is not None else None,
                attempt=state.attempt if state is not None else 0,
                outcome_unknown=state is not None and state.phase is Phase.SENT,
                origin="client",
            )

        self._requests.end_all(unauthorized)
        self._end(1000, "another principal")

    def _end(self, code: int, reason: str) -> None:
        self._requests.end_all(self.closed_error)
        for timer in ("open", "refresh", "bucket", "poll"):
            self._context.timers.cancel(timer)
        for link in self._context.links:
            self._context.close(link, code, reason)

    def _to(
        self,
        event: ConnectionEvent,
        *,
        resumed: bool = False,
        retry_in: float | None = None,
        code: int | None = None,
        reason: str = "",
    ) -> None:
        name = CONNECTION_TRANSITIONS[ConnectionState(self.state.name), event]
        self.state = ClientState(name, resumed, retry_in, code, reason)
        self._context.effects.append(StateChanged(self.state))


def _seconds_between(earlier: str, later: str) -> float:
    return (parse_timestamp(later) - parse_timestamp(earlier)).total_seconds()
