# SPDX-License-Identifier: Apache-2.0
"""The one place where announcements are decided and written, whichever way they come (PROTOCOL 4.7,
8.10)."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Annotated, Final, Self

from pydantic import (
    MISSING,
    BaseModel,
    ConfigDict,
    JsonValue,
    StrictBool,
    StrictStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from longcall_server import answers
from longcall_server.answers import Refused
from longcall_server.auth import Principal
from longcall_server.bus.base import (
    MAX_ANNOUNCEMENT_BYTES,
    MAX_NAME_CHARS,
    Announcement,
    Audience,
    Bus,
)
from longcall_server.core import ijson
from longcall_server.core.codec import first_problem, json_pointer
from longcall_server.core.codes import ErrorCode
from longcall_server.core.errors import JsonDefect
from longcall_server.core.events import timestamp
from longcall_server.core.messages import AnnouncementMessage, Limits
from longcall_server.stores.base import Clock

_log = logging.getLogger(__name__)

_ONE_WAY: Final = "say who hears it by one of all, tenant_id (with or without sub), connection_id"

Name = Annotated[StrictStr, StringConstraints(min_length=1, max_length=MAX_NAME_CHARS)]


class Recipients(BaseModel):
    """Who hears it. A name that is not known is refused: a slip of the pen must not turn a word to
    one user into one to his tenant (PROTOCOL 8.10.3)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    all: StrictBool | MISSING = MISSING
    tenant_id: Name | MISSING = MISSING
    sub: Name | MISSING = MISSING
    """A user of the tenant."""
    connection_id: Name | MISSING = MISSING

    @model_validator(mode="after")
    def _are_named_once(self) -> Self:
        ways = (self.all, self.tenant_id, self.connection_id)
        if sum(way is not MISSING for way in ways) != 1 or self.all is False:
            raise PydanticCustomError("recipients", _ONE_WAY)
        if self.sub is not MISSING and self.tenant_id is MISSING:
            raise PydanticCustomError("recipients", "a sub is one of a tenant_id")
        return self

    @property
    def audience(self) -> Audience:
        """The same for the bus."""
        return Audience(*map(_given, (self.tenant_id, self.sub, self.connection_id)))


class AnnouncementBody(BaseModel):
    """What an operator sends."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    message: Annotated[StrictStr, StringConstraints(min_length=1)]
    """The word."""
    details: JsonValue | MISSING = MISSING
    """Anything for programs."""
    to: Recipients


@dataclass(frozen=True, slots=True)
class Composed:
    """An announcement that can be made."""

    message: AnnouncementMessage
    announcement: Announcement
    """The same for the bus."""


class Announcer:
    """Takes announcements on."""

    def __init__(self, bus: Bus, clock: Clock, limits: Limits) -> None:
        self._bus = bus
        self._clock = clock
        self._limits = limits

    def announce(self, principal: Principal, body: str) -> AnnouncementMessage | Refused:
        """Sends what a JSON text says on its way to every process: the message as it is sent.

        Nobody knows who hears it; who is not connected never will (PROTOCOL 4.7.4).
        """
        forbidden = refused_to(principal)
        if forbidden is not None:
            return forbidden
        limits = self._limits
        composed = compose(
            body,
            now=self._clock(),
            max_depth=limits.max_depth,
            max_message_bytes=limits.max_message_bytes,
        )
        if isinstance(composed, Refused):
            return composed
        others = self._bus.announce(composed.announcement)
        _log.info(
            "%s announces something to %s, here and in %d other processes",
            principal.principal_id,
            composed.announcement.audience,
            others,
        )
        return composed.message


def refused_to(principal: Principal) -> Refused | None:
    """Why somebody may announce nothing at all; None to an operator (PROTOCOL 3.5.7)."""
    if principal.is_operator:
        return None
    return answers.refused(ErrorCode.FORBIDDEN, "This needs the permission admin.")


def compose(body: str, *, now: int, max_depth: int, max_message_bytes: int) -> Composed | Refused:
    """What a JSON text asks for, or what is wrong with it and where."""
    try:
        ijson.check_json(body, max_depth=max_depth)
        asked = AnnouncementBody.model_validate_json(body)
    except JsonDefect as defect:
        if defect.pointer is None:
            return answers.refused(ErrorCode.VALIDATION_ERROR, f"The body is {defect.problem}.")
        return answers.invalid(defect.pointer, defect.problem)
    except ValidationError as error:
        problem = first_problem(error)
        return answers.invalid(json_pointer(problem["loc"], json.loads(body)), problem["msg"])
    message = AnnouncementMessage(
        message=asked.message, details=asked.details, created_at=timestamp(now)
    )
    frame = message.model_dump_json()
    size, limit = len(frame.encode()), min(MAX_ANNOUNCEMENT_BYTES, max_message_bytes)
    if size > limit:
        # PROTOCOL 8.10.5
        return answers.refused(
            ErrorCode.PAYLOAD_TOO_LARGE,
            f"An announcement has at most {limit} bytes, this one has {size}.",
            details={"limit": limit, "size": size},
        )
    return Composed(message, Announcement(frame, asked.to.audience))


def _given(name: str | MISSING) -> str | None:
    return None if name is MISSING else name
