# SPDX-License-Identifier: Apache-2.0
"""Settings of the server: environment variables `LONGCALL_*`, overridden by flags.

Durations are written `500ms`, `30s`, `5m`, `24h`, `7d`, or as a plain number of seconds.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ENV_PREFIX = "LONGCALL_"
MIN_SECRET_BYTES = 32
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|)")
_MAX_DURATION = timedelta(days=36500)


class SettingsError(Exception):
    """A setting is missing or bad; the text names the option, one problem a line."""


def parse_duration(value: object) -> object:
    """`"90s"` or `90` → a timedelta; anything else is left for pydantic to refuse."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    match = _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise ValueError("write a duration as 500ms, 30s, 5m, 24h, 7d or a number of seconds")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > _MAX_DURATION.total_seconds():
        raise ValueError(f"longer than {_MAX_DURATION.days} days")
    return timedelta(seconds=seconds)


def milliseconds(duration: timedelta) -> int:
    """A duration as the protocol and the stores count it."""
    return duration // timedelta(milliseconds=1)


def duration_text(duration: timedelta) -> str:
    """A duration as an operator would write it: `2s`, `24h`, `7d`."""
    count = milliseconds(duration)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return f"{count}ms"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), Field(ge=timedelta(0))]
PositiveDuration = Annotated[
    timedelta, BeforeValidator(parse_duration), Field(ge=timedelta(milliseconds=1))
]


class Settings(BaseSettings):
    """Everything that an operator can set. Each field is `LONGCALL_<NAME>` and `--<name>`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8765, ge=0, le=65535, description="TCP port; 0 takes a free one")
    store: Literal["sqlite", "memory"] = Field(
        "sqlite", description="where requests live; memory forgets them at exit"
    )
    data_dir: Path = Field(
        Path("longcall-data"), description="folder of the database and of handlers' files"
    )

    jwt_secret: SecretStr | None = Field(
        None, description="HS256 key of the tokens, 32 bytes or more; environment only, no default"
    )
    jwt_issuer: str | None = Field(None, description="required `iss` of tokens; none: not checked")
    jwt_audience: str | None = Field(
        None, description="required `aud` of tokens; none: not checked"
    )

    max_message_bytes: int = Field(
        1_048_576, ge=4096, description="largest message either way, in bytes"
    )
    max_depth: int = Field(64, ge=4, le=200, description="deepest nesting of a JSON value")
    max_in_flight: int = Field(1000, ge=1, description="unfinished requests of one owner")
    messages_per_minute: int = Field(
        6000, ge=1, description="messages a minute from a client on one connection"
    )
    message_burst: int = Field(1000, ge=1, description="messages that may come at once")
    max_log_bytes: int = Field(
        67_108_864, ge=65_536, description="largest event log of one request, in bytes"
    )
    id_retention: PositiveDuration = Field(
        timedelta(days=7), description="how long an id stays known after its log is removed"
    )
    retention: PositiveDuration = Field(
        timedelta(hours=24),
        description="how long finished requests are kept, unless the action says",
    )
    sync_window: Duration = Field(
        timedelta(seconds=2), description="how long a quick action may take before it is stored"
    )

    concurrency: int = Field(32, ge=1, le=10_000, description="durable requests running at once")
    tenant_concurrency: int | None = Field(
        None, ge=1, description="durable requests of one tenant running at once, over all workers"
    )
    threads: int = Field(32, ge=1, le=1000, description="threads for handlers that are plain `def`")
    processes: int | None = Field(
        None,
        ge=1,
        le=1000,
        description='processes for handlers with `executor="process"`; none: one for each CPU',
    )
    lease: PositiveDuration = Field(
        timedelta(seconds=30), description="after how long a silent worker's request is retried"
    )
    poll: PositiveDuration = Field(
        timedelta(seconds=5), description="how often logs and work are looked at without a wake-up"
    )
    drain_grace: Duration = Field(
        timedelta(seconds=20), description="how long running requests may finish at shutdown"
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

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="what is written to standard error"
    )

    @property
    def database(self) -> Path:
        """The file of the store `sqlite`."""
        return self.data_dir / "longcall.sqlite3"

    @property
    def files_dir(self) -> Path:
        """The folder of the files that handlers attach, beside the database."""
        return self.data_dir / "files"

    @property
    def bell_dir(self) -> Path:
        """Where the processes of the data folder ring each other."""
        return self.data_dir / "bell"

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"a key of {MIN_SECRET_BYTES} bytes or more is needed")
        return secret


GATEWAY_SETTINGS = frozenset(
    {
        *("host", "port", "jwt_secret", "jwt_issuer", "jwt_audience"),
        *("max_in_flight", "messages_per_minute", "message_burst", "retention", "sync_window"),
        *("heartbeat_interval", "hello_timeout", "stall_timeout"),
        *("send_buffer_bytes", "progress_per_second"),
    }
)
"""Those that mean something only where clients connect: a worker has no use for them."""


def option_name(field: str) -> str:
    """How a field is called on the command line."""
    return "--" + field.replace("_", "-")


def load_settings(**flags: Any) -> Settings:
    """Settings from the environment with `flags` on top (None means not given).

    Raises `SettingsError`, which names every bad option and never shows a secret.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = []
        for item in error.errors(include_input=False, include_url=False):
            field = str(item["loc"][0]) if item["loc"] else ""
            source = option_name(field) if field in given else ENV_PREFIX + field.upper()
            problems.append(f"{source}: {item['msg'].removeprefix('Value error, ')}")
        raise SettingsError("\n".join(problems)) from None
