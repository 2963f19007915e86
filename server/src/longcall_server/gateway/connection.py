# SPDX-License-Identifier: Apache-2.0
"""Drives one session over one socket.

The session (pure) says what a frame means; here it is carried out. The reading never waits for what
a message asks for, only for the client: while it takes nothing, or sends too much.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Iterable

from aiohttp import WSMsgType, web

from longcall_server.auth import AuthError, KeysUnavailable, Principal
from longcall_server.bus.base import Announcement
from longcall_server.core.codes import CloseCode
from longcall_server.core.session import (
    Close,
    Output,
    Phase,
    Send,
    Session,
    SessionState,
    VerifyToken,
)
from longcall_server.gateway.context import Gateway
from longcall_server.gateway.decider import Decider
from longcall_server.gateway.doors import Place
from longcall_server.gateway.feed import Feed
from longcall_server.gateway.lanes import Lanes
from longcall_server.gateway.outbox import Gone, Outbox
from longcall_server.gateway.socket import Socket
from longcall_server.limits import Share, memory_of

_log = logging.getLogger(__name__)

_INTERNAL_ERROR = 1011
_AT_ONCE = 8
"""How many messages that have come already are taken in before other connections have a turn."""


class Connection:
    """One client's connection, from its upgrade to its end."""

    # There may be ten thousand of them.
    __slots__ = (
        "_closing",
        "_decider",
        "_feed",
        "_gateway",
        "_is_holding",
        "_lanes",
        "_outbox",
        "_place",
        "_principal",
        "_said_goaway",
        "_session",
        "_share",
        "_taken_in",
        "_timer",
        "_timer_at",
        "_wait",
        "_ws",
    )

    def __init__(
        self,
        gateway: Gateway,
        ws: Socket,
        request: web.Request,
        transport_token: str | None,
        place: Place,
    ) -> None:
        settings = gateway.settings
        transport = request.transport
        if transport is None:
            raise Gone
        self._gateway = gateway
        self._ws = ws
        connection_id = uuid.uuid4().hex
        state = SessionState.new(gateway.session_settings, connection_id, gateway.clock())
        self._session = Session(gateway.session_settings, state, transport_token)
        self._place = place
        self._principal: Principal | None = None
        self._outbox = Outbox(
            ws,
            transport,
            request.writer,
            buffer_bytes=settings.send_buffer_bytes,
            max_message_bytes=gateway.limits.max_message_bytes,
            stall_timeout_ms=settings.stall_timeout_ms,
            on_stall=self._stalled,
        )
        self._feed = Feed(
            gateway.service,
            gateway.bus,
            self._outbox,
            gateway.clock,
            poll_ms=settings.poll_ms,
            progress_interval_ms=settings.progress_interval_ms,
            max_message_bytes=gateway.limits.max_message_bytes,
            on_timeout_changed=self._arm,
            on_failure=self._fail,
        )
        self._lanes = Lanes(settings.max_pending)
        self._share = Share(gateway.memory, settings.pending_bytes)
        self._decider = Decider(
            gateway.service,
            self._feed,
            self._outbox,
            self._lanes,
            self._share,
            origin=self,
            max_message_bytes=gateway.limits.max_message_bytes,
            on_unknown=self._outcome_unknown,
        )
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        self._closing: asyncio.Task[None] | None = None
        self._wait: asyncio.Timeout | None = None
        self._is_holding = False
        self._said_goaway = False
        self._taken_in = 0

    async def run(self) -> None:
        """Serves the client until the socket is closed; leaves nothing behind."""
        self._arm()
        session, receive, clock = self._session, self._ws.receive, self._gateway.clock
        try:
            while True:
                message = await receive()
                if message.type is WSMsgType.TEXT:
                    await self._take(message.data, clock())
                elif message.type is WSMsgType.PING:
                    self._outbox.pong(message.data)
                    session.control_frame(clock())
                elif message.type is WSMsgType.PONG:
                    session.control_frame(clock())
                elif message.type is WSMsgType.BINARY:
                    self.close(CloseCode.BINARY_FRAME, "messages are text")
                else:
                    break
                if self._closing is not None:
                    break
                await self._give_way()
        except Gone:
            pass
        except Exception as error:
            self._fail(error)
        finally:
            await self._end()

    def goaway(self, reason: str, reconnect_after_ms: int) -> None:
        """Asks the client to move over to another connection (PROTOCOL 6.8)."""
        if not self._said_goaway:
            self._said_goaway = True
            self._post(self._session.goaway(reason, reconnect_after_ms))

    def announce(self, announcement: Announcement) -> None:
        """Says an operator's word if it is for this client, when there is room for it."""
        if self._principal is None:
            return
        if (self._session.state.connection_id, self._principal.owner) in announcement.audience:
            for output in self._session.announce(announcement.frame):
                self._feed.say(output.text)

    def close(self, code: CloseCode | int, reason: str) -> None:
        """Begins to close; what is under way is given up, nothing that is stored is lost."""
        if self._closing is not None:
            return
        self._session.close()
        self._outbox.shut()
        if self._wait is not None:
            self._wait.reschedule(asyncio.get_running_loop().time())
        timeout_ms = self._gateway.settings.close_timeout_ms
        self._closing = asyncio.create_task(
            self._outbox.close(int(code), reason, timeout_ms), name="longcall close"
        )

    # --- Reading ----------------------------------------------------------------------------------

    async def _take(self, text: str, now: int) -> None:
        """Takes a message when there is memory for it (PROTOCOL 10.45.9)."""
        size = 0
        if self._session.phase is Phase.OPEN:
            size = memory_of(text)
            if not self._share.take(size) and not await self._got_memory(size):
                return
        for output in self._session.receive(text, now):
            match output:
                case Send(answer):
                    self._outbox.post(answer)
                case Close(code, reason):
                    self.close(code, reason)
                case VerifyToken(token):
                    await self._verify(token)
                case decision:
                    assert self._principal is not None  # nothing is handed out before the welcome
                    self._decider.decide(self._principal, decision, now, size)
                    size = 0  # given back when it is decided
        if size:
            self._share.give_back(size)

    async def _got_memory(self, size: int) -> bool:
        """Waits for memory, and reads nothing meanwhile; False: the connection is closed."""
        self._ws.pause_reading()
        async with self._holding():
            await self._share.wait(size)
        self._ws.resume_reading()
        return self._closing is None

    async def _give_way(self) -> None:
        """Between two messages: a client that is ahead waits, and others have their turn."""
        self._taken_in += 1
        pause_ms = 0
        if self._principal is not None:
            pause_ms = self._gateway.pace.pause_ms(self._principal.owner, self._gateway.clock())
        if pause_ms or self._outbox.is_blocked or self._lanes.is_full or self._session.owes_time:
            await self._hold(pause_ms)
        elif self._taken_in % _AT_ONCE == 0:
            # A pipe that is full never has the reading wait, and one look at the socket may bring
            # thousands of messages.
            await self._gateway.loop_turns.next(self._principal and self._principal.owner)

    async def _hold(self, pause_ms: int) -> None:
        """Reads nothing for a while (PROTOCOL 6.4.2, 6.6.12, 10.45.5)."""
        async with self._holding():
            await self._outbox.room()
            await self._lanes.room()
            pause_ms = max(pause_ms, self._session.reading_pause_ms(self._gateway.clock()))
            if pause_ms:
                await asyncio.sleep(pause_ms / 1000)
        if self._outbox.is_gone:
            # What a client has sent ahead and did not wait for would be worked off at its pace
            # long after it has gone, at the cost of its next connection.
            raise Gone

    @contextlib.asynccontextmanager
    async def _holding(self) -> AsyncIterator[None]:
        """The client waits for the server here; a close ends it at once."""
        self._is_holding = True
        try:
            async with asyncio.timeout(None if self._closing is None else 0) as self._wait:
                yield
        except TimeoutError:
            pass  # closed
        finally:
            self._is_holding = False
            self._wait = None

    async def _verify(self, token: str) -> None:
        """Nothing more is read until it is known who is asking: that may take a fetch of keys."""
        self._post(await self._verified(token))
        self._arm()

    async def _verified(self, token: str) -> Iterable[Output]:
        session = self._session
        try:
            async with self._holding():
                # Bounded by the authenticator.
                principal = await self._gateway.authenticator.verify(token)
        except AuthError as error:
            return session.rejected(str(error), self._gateway.clock())
        except KeysUnavailable as error:
            return session.unverifiable(str(error))
        if self._closing is not None:
            return ()
        if not self._place.identify(principal.owner):
            # PROTOCOL 2.7.7
            return (Close(CloseCode.RATE_LIMITED, "the owner has too many connections"),)
        outputs = session.authenticated(principal, self._gateway.clock())
        if session.state.principal_id == principal.principal_id:
            # PROTOCOL 10.42: its permissions hold from here on.
            self._principal = principal
            self._share.owner = principal.owner
        return outputs

    # --- Time -------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Sets the one timer to the next thing that is due."""
        if self._session.phase is Phase.CLOSED:
            return
        times = [
            at for at in (self._session.next_timeout(), self._feed.next_timeout()) if at is not None
        ]
        if not times:
            return
        at = min(times)
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        delay_ms = max(1, at - self._gateway.clock())
        self._timer = asyncio.get_running_loop().call_later(delay_ms / 1000, self._time_passed)

    def _time_passed(self) -> None:
        self._timer = None
        if self._session.phase is Phase.CLOSED:
            return
        if self._is_holding or self._outbox.is_waiting:
            # Not read from, or still taking: the watch over the outbox judges it.
            self._session.alive()
        now = self._gateway.clock()
        outputs = self._session.handle_timeout(now)
        self._feed.handle_timeout(now)
        self._post(outputs)
        self._arm()

    def _post(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            if isinstance(output, Close):
                self.close(output.code, output.reason)
            elif isinstance(output, Send):
                with contextlib.suppress(Gone):
                    self._outbox.post(output.text)

    # --- The end ----------------------------------------------------------------------------------

    def _stalled(self) -> None:
        self.close(CloseCode.TOO_SLOW, "nothing was taken for too long")

    def _outcome_unknown(self) -> None:
        self.close(CloseCode.TRY_AGAIN_LATER, "the outcome of a write is not known")

    def _fail(self, error: Exception) -> None:
        _log.error("connection %s failed", self._session.state.connection_id, exc_info=error)
        self.close(_INTERNAL_ERROR, "the server failed unexpectedly")

    async def _end(self) -> None:
        self._session.close()
        if self._timer is not None:
            self._timer.cancel()
        self._outbox.stop()
        self._decider.close()
        await self._feed.close()
        await self._lanes.close()
        self._share.close()
        if self._closing is not None:
            await asyncio.wait([self._closing])
