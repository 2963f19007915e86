# SPDX-License-Identifier: Apache-2.0
"""Settings of what clients connect to."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel, Field

from longcall_server.config.durations import PositiveDuration
from longcall_server.config.names import Hosts, Networks, Origins


class NetworkSettings(BaseModel):
    """Where the server listens, and how patient it is with connections."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8765, ge=0, le=65535, description="TCP port; 0 takes a free one")
    tls_cert: Path | None = Field(
        None, description="PEM file of the certificate, with its chain; with it: https and wss"
    )
    tls_key: Path | None = Field(None, description="PEM file of the certificate's key")
    allowed_origins: Origins = Field(
        (), description="origins of web pages that may connect, beside the server's own; *: all"
    )
    allowed_hosts: Hosts = Field(
        (),
        description="host names that clients use for the server, or *.example.com; *: any; none: "
        "only this machine's where it listens on loopback, else any",
    )
    trusted_proxies: Networks = Field(
        (),
        description="addresses and networks of proxies whose X-Forwarded-For and "
        "X-Forwarded-Proto are believed",
    )
    allow_query_token: bool = Field(
        False, description="whether a token may come as `?access_token=`"
    )
    compression: bool = Field(
        False, description="whether messages are compressed with clients that offer it"
    )
    max_connections: int = Field(16_000, ge=1, description="connections of one server process")
    max_connections_per_address: int = Field(
        2000, ge=1, description="connections of one address, an IPv6 /64 being one"
    )
    max_connections_per_owner: int = Field(
        1000, ge=1, description="connections of one owner to one server process"
    )
    max_unidentified: int = Field(
        2000,
        ge=4,
        description="connections that have not said `hello`; an address may hold a quarter",
    )
    request_timeout: PositiveDuration = Field(
        timedelta(seconds=10),
        description="how long a TLS handshake, and then the head of the first request, may take",
    )
    heartbeat_interval: PositiveDuration = Field(
        timedelta(seconds=25), description="how often the server pings an idle connection"
    )
    hello_timeout: PositiveDuration = Field(
        timedelta(seconds=10), description="how long a connection may be silent before `hello`"
    )
    stall_timeout: PositiveDuration = Field(
        timedelta(seconds=30), description="how long a reader may take nothing before it is closed"
    )
    send_buffer_bytes: int = Field(
        1_048_576, ge=65_536, description="unsent frames held for one connection, in bytes"
    )
    progress_per_second: float = Field(
        10.0, gt=0, le=1000, description="progress messages a second of a request to a connection"
    )
