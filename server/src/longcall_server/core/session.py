# SPDX-License-Identifier: Apache-2.0
"""One client's connection, without a socket, task or clock.

Text and time go in; what to send, what to decide elsewhere and when to close come out. All times
are milliseconds since the epoch. The state is small and plain: `Session.state` can be stored after
one message and taken up again before the next.

    receive(text, now)            -> outputs
    authenticated(identity, now)  -> outputs   the answers to a VerifyToken
    rejected(reason)              -> outputs
    unverifiable(reason)          -> outputs
    handle_timeout(now)           -> outputs   at next_timeout()
    goaway(reason, delay)         -> outputs
    announce(frame)               -> outputs

The caller carries the outputs out in their order. A client's message among them has passed every
check of the session and is the caller's to decide.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Protocol, TypeAlias

from pydantic import MISSING

from longcall_server.core import frames
from longcall_server.core.codec import MessageBounds, decode_client_message, is_sound_without
from longcall_server.core.codes import CloseCode, ErrorCode, HeartbeatSide
from longcall_server.core.errors import Answered, MessageError, error_info
from longcall_server.core.events import timestamp
from longcall_server.core.heartbeat import Beat, Heartbeat
from longcall_server.core.messages import (
    AttachMessage,
    CancelMessage,
    ClientMessage,
    DetachMessage,
    HelloMessage,
    Limits,
    ListMessage,
    PingMessage,
    PongMessage,
    RefreshMessage,
    RequestMessage,
    Software,
    WelcomeMessage,
)
from longcall_server.core.messages import Heartbeat as HeartbeatInfo
from longcall_server.core.ratelimit import TokenBucket

ABUSE_FACTOR = 10
"""So many bursts of messages that do not wait although they were told to, and each minute a part
like that of the rate, are refused before the connection is closed with 4429."""
_BYTES_A_MESSAGE = 4_096
"""A bad message costs a message's worth of the rate for each of these: all its bytes are looked at
more than once."""
_BAD_TOKEN = 10
"""What a token that is refused costs of the rate, in messages."""
_MINUTE = 60_000


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket; nothing else follows."""

    code: CloseCode
    reason: str


@dataclass(frozen=True, slots=True)
class VerifyToken:
    """Verify the token; `authenticated`, `rejected` or `unverifiable` comes before `receive`."""

    token: str = field(repr=False)


Decision: TypeAlias = RequestMessage | AttachMessage | CancelMessage | DetachMessage | ListMessage
"""The messages that are decided outside of the session."""
Output: TypeAlias = Send | Close | VerifyToken | Decision


class Identity(Protocol):
    """What a session knows of who is asking."""

    @property
    def principal_id(self) -> str: ...

    @property
    def expires_at(self) -> int: ...


@dataclass(frozen=True)
class SessionSettings:
    """What holds for all sessions of a server."""

    limits: Limits
    server: Software
    heartbeat_interval_ms: int = 25_000
    hello_timeout_ms: int = 10_000

    @cached_property
    def bounds(self) -> MessageBounds:
        """What a client's message is held to."""
        return MessageBounds.of(self.limits)


class Phase(StrEnum):
    """Where a connection stands."""

    HELLO = "hello"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(slots=True)
class SessionState:
    """All that a session remembers."""

    connection_id: str
    hello_deadline: int
    heartbeat: Heartbeat
    messages: TokenBucket
    refusals: TokenBucket
    phase: Phase = Phase.HELLO
    verifying: str | None = None
    """The type of the message whose token is being verified."""
    principal_id: str | None = None
    expires_at: int = 0
    """When the token in force ends."""
    retry_at: int = 0
    """When the client may send again that was told to wait."""
    turn_at: int = 0
    """The last turn that a refused message was told."""
    farewell: str | None = None
    """A goaway that waits for the welcome."""

    @classmethod
    def new(cls, settings: SessionSettings, connection_id: str, now: int) -> SessionState:
        """The state of a connection that was just opened."""
        limits = settings.limits
        rate, burst = limits.messages_per_minute, limits.message_burst
        return cls(
            connection_id=connection_id,
            hello_deadline=now + settings.hello_timeout_ms,
            heartbeat=Heartbeat(
                settings.heartbeat_interval_ms, now + settings.heartbeat_interval_ms
            ),
            messages=TokenBucket(rate, burst, now),
            refusals=TokenBucket(max(1, rate // ABUSE_FACTOR), burst * ABUSE_FACTOR, now),
        )


class Session:
    """The protocol of one connection, seen from the server."""

    __slots__ = ("_bounds", "_settings", "_transport_token", "state")

    def __init__(
        self, settings: SessionSettings, state: SessionState, transport_token: str | None = None
    ) -> None:
        self.state = state
        self._settings = settings
        self._bounds = settings.bounds
        self._transport_token = transport_token

    @property
    def phase(self) -> Phase:
        """Where the connection stands."""
        return self.state.phase

    def receive(self, text: str, now: int) -> list[Output]:
        """Takes a text frame."""
        state = self.state
        if state.phase is Phase.CLOSED:
            return []
        state.heartbeat.receive()
        try:
            message = decode_client_message(text, self._bounds)
        except MessageError as error:
            if state.phase is Phase.HELLO:
                return [self._refuse_hello(text, error)]
            state.messages.charge(now, 1 + len(text) // _BYTES_A_MESSAGE)
            return [Send(frames.refusal(error.info, error.answered))]
        if state.phase is Phase.HELLO:
            return [self._hello(message)]
        return self._message(message, now)

    def authenticated(self, identity: Identity, now: int) -> list[Output]:
        """The token that was to be verified is good."""
        state = self.state
        verified, state.verifying = state.verifying, None
        if state.phase is Phase.CLOSED:
            return []
        if verified == "hello":
            return self._welcome(identity, now)
        if identity.principal_id != state.principal_id:
            # PROTOCOL 3: the new token must name the same sub and tenant_id.
            problem = "the new token names another identity"
            state.messages.charge(now, _BAD_TOKEN)
            return [_refuse("refresh", ErrorCode.UNAUTHORIZED, problem)]
        state.expires_at = identity.expires_at
        return [Send(frames.refreshed(timestamp(identity.expires_at), timestamp(now)))]

    def rejected(self, reason: str, now: int) -> list[Output]:
        """The token that was to be verified is not good; `reason` must not hold any part of it."""
        state = self.state
        verified, state.verifying = state.verifying, None
        if state.phase is Phase.CLOSED:
            return []
        if verified == "hello":
            return [self._close(CloseCode.UNAUTHORIZED, reason)]
        # PROTOCOL 10.42: the old token stays in force.
        state.messages.charge(now, _BAD_TOKEN)
        return [_refuse("refresh", ErrorCode.UNAUTHORIZED, reason)]

    def unverifiable(self, reason: str) -> list[Output]:
        """Whether the token is good cannot be known right now (PROTOCOL 3.1.11)."""
        state = self.state
        verified, state.verifying = state.verifying, None
        if state.phase is Phase.CLOSED:
            return []
        if verified == "hello":
            return [self._close(CloseCode.TRY_AGAIN_LATER, reason)]
        return [_refuse("refresh", ErrorCode.UNAVAILABLE, reason)]

    def goaway(self, reason: str, reconnect_after_ms: int) -> list[Output]:
        """The server drains. Before the welcome it is kept until then."""
        frame = frames.goaway(reason, reconnect_after_ms)
        if self.state.phase is Phase.OPEN:
            return [Send(frame)]
        self.state.farewell = frame
        return []

    def announce(self, frame: str) -> list[Send]:
        """An operator's word; nobody hears it before the welcome (PROTOCOL 4.2.7, 4.7.4)."""
        return [Send(frame)] if self.state.phase is Phase.OPEN else []

    def next_timeout(self) -> int | None:
        """When `handle_timeout` has something to do."""
        state = self.state
        if state.phase is Phase.HELLO:
            # A hello that has come is in time (PROTOCOL 4.2.4), however long it takes to verify.
            return state.hello_deadline if state.verifying is None else None
        if state.phase is Phase.OPEN:
            return min(state.expires_at, state.heartbeat.next_at)
        return None

    def handle_timeout(self, now: int) -> list[Output]:
        """Does what is due at `now`; nothing before `next_timeout`."""
        state = self.state
        if state.phase is Phase.HELLO:
            if state.verifying is None and now >= state.hello_deadline:
                return [self._close(CloseCode.TOO_SLOW, "no hello in time")]
        elif state.phase is Phase.OPEN:
            if now >= state.expires_at:
                return [self._close(CloseCode.UNAUTHORIZED, "the token has expired")]
            match state.heartbeat.handle_timeout(now):
                case Beat.DEAD:
                    return [self._close(CloseCode.TOO_SLOW, "no answer to pings")]
                case Beat.PING:
                    return [Send(frames.PING)]
        return []

    def alive(self) -> None:
        """Something other than a frame shows that the client lives: it takes what is sent."""
        self.state.heartbeat.receive()

    def control_frame(self, now: int) -> None:
        """A ping or pong of RFC 6455 came: life, and no message, but not for nothing."""
        self.state.heartbeat.receive()
        self.state.messages.charge(now)

    @property
    def owes_time(self) -> bool:
        """Whether `reading_pause_ms` is worth asking: the client sent more than its rate."""
        level = self.state.messages.level
        return level is not None and level < 0

    def reading_pause_ms(self, now: int) -> int:
        """How long not to read, so that the client keeps to its rate; 0: go on (PROTOCOL 10.45)."""
        return self.state.messages.debt_ms(now)

    def close(self) -> None:
        """The socket is gone or going."""
        self.state.phase = Phase.CLOSED

    def _close(self, code: CloseCode, reason: str) -> Close:
        self.state.phase = Phase.CLOSED
        return Close(code, reason)

    def _hello(self, message: ClientMessage) -> Output:
        if not isinstance(message, HelloMessage):
            return self._close(CloseCode.PROTOCOL_ERROR, "hello comes first")
        token = message.token if message.token is not MISSING else self._transport_token
        if not token:
            return self._close(CloseCode.UNAUTHORIZED, "no token")
        self.state.verifying = "hello"
        return VerifyToken(token)

    def _refuse_hello(self, text: str, error: MessageError) -> Output:
        # PROTOCOL 4.2.5, 4.2.6: a bad token is 4401; any other defect, also beside it, is 4400.
        place = f"{error.pointer or ''}/"
        is_of_token = error.answered.type == "hello" and place.startswith("/token/")
        if is_of_token and is_sound_without(text, "token", self._bounds):
            return self._close(CloseCode.UNAUTHORIZED, "the token is malformed")
        return self._close(CloseCode.PROTOCOL_ERROR, "the first message is not a hello")

    def _welcome(self, identity: Identity, now: int) -> list[Output]:
        state, settings = self.state, self._settings
        state.phase = Phase.OPEN
        state.principal_id = identity.principal_id
        state.expires_at = identity.expires_at
        state.heartbeat.next_at = now + settings.heartbeat_interval_ms
        welcome = WelcomeMessage(
            connection_id=state.connection_id,
            principal=identity.principal_id,
            server_time=timestamp(now),
            server=settings.server,
            heartbeat=HeartbeatInfo(
                interval_ms=settings.heartbeat_interval_ms, from_=HeartbeatSide.SERVER.value
            ),
            expires_at=timestamp(identity.expires_at),
            limits=settings.limits,
        )
        outputs: list[Output] = [Send(welcome.model_dump_json())]
        if state.farewell is not None:
            outputs.append(Send(state.farewell))
        return outputs

    def _message(self, message: ClientMessage, now: int) -> list[Output]:
        state = self.state
        match message:
            case RequestMessage() | ListMessage():
                if not state.messages.take(now):
                    return [self._refuse_rate(message, now)]
                return [message]
            case PongMessage() if state.heartbeat.answered():
                return []
        # PROTOCOL 10.45: these are never refused for their rate; reading pauses for the debt.
        state.messages.charge(now)
        match message:
            case PingMessage(nonce=nonce):
                return [Send(frames.pong(None if nonce is MISSING else nonce))]
            case RefreshMessage(token=token):
                state.verifying = "refresh"
                return [VerifyToken(token)]
            case PongMessage():
                return []
            case HelloMessage():
                problem = "hello was said already"
                return [_refuse("hello", ErrorCode.VALIDATION_ERROR, problem, pointer="/type")]
            case AttachMessage() | CancelMessage() | DetachMessage():
                return [message]

    def _refuse_rate(self, message: RequestMessage | ListMessage, now: int) -> Output:
        state = self.state
        if now < state.retry_at and not state.refusals.take(now):
            # PROTOCOL 6.6.6: it does not wait although it is told to.
            return self._close(CloseCode.RATE_LIMITED, "too many messages over the rate")
        state.retry_at = now + max(1, state.messages.wait_ms(now))
        # Each of many that are refused at once has a turn of its own.
        interval = -(-_MINUTE // state.messages.per_minute)
        state.turn_at = max(state.retry_at, min(state.turn_at + interval, now + _MINUTE))
        info = error_info(
            ErrorCode.RATE_LIMITED,
            "too many messages on this connection",
            retry_after_ms=state.turn_at - now,
        )
        return Send(frames.refusal(info, answered_by(message)))


def answered_by(message: Decision) -> Answered:
    """What a refusal of this message names (PROTOCOL 10.2)."""
    match message:
        case RequestMessage(id=request_id):
            return Answered("request", request_id=request_id)
        case ListMessage(id=list_id):
            return Answered("list", list_id=list_id)
    return Answered(message.type, request_id=message.request_id)


def _refuse(reply_to: str, code: ErrorCode, problem: str, *, pointer: str | None = None) -> Send:
    details = MISSING if pointer is None else {"pointer": pointer}
    return Send(frames.refusal(error_info(code, problem, details=details), Answered(reply_to)))
