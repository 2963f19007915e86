# SPDX-License-Identifier: Apache-2.0
"""Which server, and with which token: flags before the environment before the file.

A profile that the command line names counts as a flag. The token of a profile belongs to the
address of that profile: it is never sent to another.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from ..errors import ConfigurationError
from ..options import Token, TokenReason, checked_url
from .inputs import duration

CONNECT_TIMEOUT = 10.0


def _duration(value: object) -> object:
    try:
        return duration(value) if isinstance(value, str) else value
    except argparse.ArgumentTypeError as error:
        raise ValueError(str(error)) from None


class Profile(BaseModel):
    """A server and an identity, as the configuration file names them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: str | None = None
    token: str | None = None
    token_file: str | None = None
    """Read again for each connection and each refresh."""
    token_command: list[str] | None = None
    """A program and its arguments; its output is the token. Run again as the file is read."""
    connect_timeout: Annotated[float, BeforeValidator(_duration)] | None = None

    @model_validator(mode="after")
    def _one_token(self) -> Profile:
        given = [self.token, self.token_file, self.token_command]
        if sum(one is not None for one in given) > 1:
            raise ValueError("only one of token, token_file and token_command")
        if self.token_command == []:
            raise ValueError("token_command names no program")
        return self

    @property
    def has_token(self) -> bool:
        return bool(self.token or self.token_file or self.token_command)


class File(BaseModel):
    """The configuration file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    default_profile: str | None = None
    profiles: dict[str, Profile] = {}


@dataclass(frozen=True)
class Settings:
    """What a run of the command uses."""

    url: str
    token: Token = None
    connect_timeout: float = CONNECT_TIMEOUT
    words: list[str] = field(default_factory=list)
    """The words of the command line that name this server again."""
    warnings: list[str] = field(default_factory=list)


def config_path(options: argparse.Namespace, environment: Mapping[str, str]) -> Path:
    """Where the configuration file is, or would be."""
    if named := getattr(options, "config", None) or environment.get("LONGCALL_CONFIG"):
        return Path(named).expanduser()
    home = Path(environment.get("XDG_CONFIG_HOME", ""))
    if not home.is_absolute():  # an empty or a relative one is to be ignored, says XDG
        home = Path.home() / ".config"
    return home / "longcall" / "config.toml"


def read_file(path: Path, *, must_exist: bool) -> File:
    """Reads the configuration file; one that is not there is empty.

    Raises:
        ConfigurationError: It cannot be read, or says what it cannot; names the place.
    """
    try:
        return File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        if must_exist:
            raise ConfigurationError(f"{path}: there is no such file") from None
        return File()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {_place(error)}") from None
    except ValueError as error:  # not UTF-8, not TOML: both name the place
        raise ConfigurationError(f"{path}: not TOML: {error}") from None


def _place(error: ValidationError) -> str:
    # Without the input: it may be a token.
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        known = Profile if first["loc"][0] == "profiles" else File
        return f"{place}: no such setting; there are {', '.join(known.model_fields)}"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"


def resolve(
    options: argparse.Namespace, environment: Mapping[str, str], *, needs_url: bool = True
) -> Settings:
    """Returns the settings of a run.

    Raises:
        ConfigurationError: The file is wrong, or nothing says where the server is.
    """
    path = config_path(options, environment)
    is_named = bool(options.config or environment.get("LONGCALL_CONFIG"))
    file = read_file(path, must_exist=is_named)
    name, profile = _profile(options, environment, file, path)
    env_url, env_token = environment.get("LONGCALL_URL"), environment.get("LONGCALL_TOKEN")
    if options.profile:  # it was named on the command line: it goes before the environment
        url = options.url or profile.url or env_url
    else:
        url = options.url or env_url or profile.url
    if needs_url and not url:
        raise ConfigurationError(
            f"which server? Give --url, LONGCALL_URL, or a profile with a url in {path}"
        )
    url = checked_url(url) if url else ""
    is_own = profile.url is None or checked_url(profile.url) == url
    warnings = []
    token: Token = None
    if options.token_file:
        token = from_file(Path(options.token_file).expanduser())
    elif env_token and not (options.profile and is_own and profile.has_token):
        token = env_token
    elif is_own:
        token = _profile_token(profile, path.parent)
        if profile.token and _is_open_to_others(path):
            warnings.append(f"{path} holds a token and can be read by others: chmod 600 {path}")
    elif profile.has_token:
        warnings.append(
            f"the token of profile {name} is for {profile.url}; it is not sent to {url}"
        )
    return Settings(
        url,
        token,
        options.connect_timeout or profile.connect_timeout or CONNECT_TIMEOUT,
        _words(options),
        warnings,
    )


def _profile(
    options: argparse.Namespace, environment: Mapping[str, str], file: File, path: Path
) -> tuple[str, Profile]:
    name = options.profile or environment.get("LONGCALL_PROFILE") or file.default_profile
    if name is None:
        only = list(file.profiles.items())
        return only[0] if len(only) == 1 else ("", Profile())
    if name not in file.profiles:
        known = ", ".join(sorted(file.profiles)) or "none"
        raise ConfigurationError(f"{path}: there is no profile {name!r}; there are: {known}")
    return name, file.profiles[name]


def _words(options: argparse.Namespace) -> list[str]:
    words = []
    for name in ("config", "profile", "url", "token_file"):
        if value := getattr(options, name):
            words += [f"--{name.replace('_', '-')}", value]
    return words


def _is_open_to_others(path: Path) -> bool:
    if os.name != "posix":
        return False
    try:
        return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False


def _profile_token(profile: Profile, base: Path) -> Token:
    if profile.token_file:
        return from_file(base / Path(profile.token_file).expanduser())
    if profile.token_command:
        return from_command(profile.token_command)
    return profile.token


async def ask(token: Token, reason: TokenReason = "connect") -> str | None:
    """Returns the token itself, wherever it comes from."""
    given = token(reason) if callable(token) else token
    return await given if inspect.isawaitable(given) else given


def from_file(path: Path) -> Token:
    """Returns a token that is read from a file each time.

    Raises:
        ConfigurationError: It cannot be read now.
    """

    def read(_: TokenReason) -> str:
        try:
            return path.read_text(encoding="ascii").strip()
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path}: that is no token") from None

    read("connect")
    return read


def from_command(words: list[str]) -> Token:
    """Returns a token that a program prints each time."""

    async def ask(_: TokenReason) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
            )
        except OSError as error:
            raise ConfigurationError(f"token_command {words[0]}: {error.strerror}") from None
        try:
            output, _errors = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise ConfigurationError(f"token_command {words[0]} ended with {process.returncode}")
        return output.decode("ascii", errors="replace").strip()

    return ask
