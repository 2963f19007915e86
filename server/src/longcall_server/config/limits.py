# SPDX-License-Identifier: Apache-2.0
"""Settings of how much of everything there may be."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ClientLimits(BaseModel):
    """What clients may ask for: kept where they connect."""

    max_in_flight: int = Field(1000, ge=1, description="unfinished requests of one owner")
    max_waiting_per_tenant: int = Field(
        100_000, ge=1, description="requests of one tenant that wait to be run"
    )
    messages_per_minute: int = Field(
        6000, ge=1, description="messages a minute from a client on one connection"
    )
    message_burst: int = Field(1000, ge=1, description="messages that may come at once")
    owner_messages_per_minute: int | None = Field(
        None,
        ge=1,
        description="messages a minute that are read from one owner, over all its connections; "
        "none: what one connection may send",
    )
    submissions_per_minute: int | None = Field(
        None,
        ge=1,
        description="new requests of one owner a minute, over all its connections; "
        "none: what a client may send that reconnects every second",
    )
    submission_burst: int | None = Field(
        None, ge=1, description="new requests that may come at once; none: ten message bursts"
    )
    max_values: int = Field(100_000, ge=256, description="JSON values of one message of a client")
    max_string_length: int | None = Field(
        None, ge=4096, description="longest string of a client's message, in characters; none: any"
    )
    max_payload_bytes: int | None = Field(
        None, ge=1, description="largest payload of a request, in bytes; none: any that fits"
    )
    max_metadata_bytes: int | None = Field(
        None, ge=0, description="largest metadata of a request, in bytes; none: any that fits"
    )
    max_pending: int = Field(
        2000, ge=1, description="messages of one connection that are being decided at once"
    )
    pending_bytes: int = Field(
        16_777_216, ge=65_536, description="memory that they may take, in bytes, or one message"
    )
    total_pending_bytes: int = Field(
        268_435_456,
        ge=1_048_576,
        description="memory that those of all connections may take, in bytes; an owner a quarter",
    )
    quick_bytes: int = Field(
        16_777_216,
        ge=0,
        description="payloads of an owner's quick requests that run, in bytes; more are "
        "stored first",
    )
    total_quick_bytes: int = Field(
        268_435_456, ge=0, description="the same over all owners, in bytes"
    )


class SizeLimits(BaseModel):
    """How large things may be: kept by every process."""

    max_message_bytes: int = Field(
        1_048_576, ge=4096, description="largest message either way, in bytes"
    )
    max_depth: int = Field(64, ge=4, le=200, description="deepest nesting of a JSON value")
    max_log_bytes: int = Field(
        67_108_864, ge=65_536, description="largest event log of one request, in bytes"
    )
