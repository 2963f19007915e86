# SPDX-License-Identifier: Apache-2.0
"""Settings of the server: environment variables `LONGCALL_*`, overridden by flags.

A file a subject; here they are one.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from longcall_server.config.durations import duration_text, milliseconds, parse_duration
from longcall_server.config.identity import NO_TOKEN_KEY, IdentitySettings
from longcall_server.config.limits import ClientLimits, SizeLimits
from longcall_server.config.network import NetworkSettings
from longcall_server.config.storage import StorageSettings
from longcall_server.config.work import AcceptanceSettings, WorkSettings

__all__ = [
    "GATEWAY_SETTINGS",
    "NO_TOKEN_KEY",
    "Settings",
    "SettingsError",
    "duration_text",
    "load_settings",
    "milliseconds",
    "option_name",
    "parse_duration",
    "variable_name",
]

ENV_PREFIX = "LONGCALL_"


class SettingsError(Exception):
    """A setting is missing or bad; the text names the option, one problem a line."""


class Settings(
    # Fields are told in the order of the last base first.
    WorkSettings,
    AcceptanceSettings,
    SizeLimits,
    ClientLimits,
    IdentitySettings,
    StorageSettings,
    NetworkSettings,
    BaseSettings,
):
    """Everything that an operator can set. Each field is `LONGCALL_<NAME>` and `--<name>`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="what is written to standard error"
    )


GATEWAY_SETTINGS = frozenset(
    name
    for group in (NetworkSettings, IdentitySettings, ClientLimits, AcceptanceSettings)
    for name in group.model_fields
)
"""Those that mean something only where clients connect: a worker has no use for them."""


def option_name(field: str) -> str:
    """How a field is called on the command line."""
    return "--" + field.replace("_", "-")


def variable_name(field: str) -> str:
    """How a field is called in the environment."""
    return ENV_PREFIX + field.upper()


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
            source = option_name(field) if field in given else variable_name(field)
            problems.append(f"{source}: {item['msg'].removeprefix('Value error, ')}")
        raise SettingsError("\n".join(problems)) from None
