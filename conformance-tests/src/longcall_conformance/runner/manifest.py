# SPDX-License-Identifier: Apache-2.0
"""A server under test as a file describes it: how it is started or reached, and with what.

Any server in any language can be described (`manifest.schema.json`). `{…}` in commands and in the
environment is filled in: `python` (this interpreter), `suite` (the folder of this suite's cases and
handlers), `data` (a folder of this run), `ready` (the file that the server writes when it is ready:
JSON with `url`), `port` (0, or the one that it must listen on), `handlers`, `fixtures`,
`secret` (the key of the tokens), `file` (of a fixture), `pid` (of the server; `stop` and `kill`).
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator

from .case import Case, load_yaml
from .places import SUITE
from .under_test import ServerFailed


@dataclass(frozen=True)
class Manifest:
    """What the file says; relative paths count from the manifest's folder."""

    name: str
    folder: Path
    start: str | None = None
    """The command that starts it; with `url`, one that returns when it is ready."""
    stop: str | None = None
    """What ends it politely; None: SIGTERM to the process that `start` started."""
    kill: str | None = None
    """What ends it at once; None: SIGKILL."""
    url: str | None = None
    """Where a server is that somebody else has started."""
    beside: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    """Which variable of the environment sets a limit, by its name in cases."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """The same for settings that are texts."""
    handlers: Mapping[str, str] = field(default_factory=dict)
    fixtures: Mapping[str, str] = field(default_factory=dict)
    jwt: Mapping[str, Any] = field(default_factory=dict)
    """`secret_env`: the variable that holds the key; `claims`: what every token has as well."""

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Reads a manifest; raises `ServerFailed` for the first thing that is wrong in it."""
        return cls.parse(load_yaml(path), path)

    @classmethod
    def parse(cls, document: Any, path: Path) -> Manifest:
        """A manifest that was read already; `path` is where from."""
        for error in _schema().iter_errors(document):
            place = "/".join(map(str, error.absolute_path))
            raise ServerFailed(f"{path}: at /{place}: {error.message[:300]}")
        members = {**document, "beside": tuple(document.get("beside", ()))}
        return cls(folder=path.parent.resolve(), **members)

    @classmethod
    def of_url(cls, url: str, handlers: Mapping[str, str], secret_env: str) -> Manifest:
        """A server that somebody else has started, and that nobody can stop."""
        name = urlsplit(url).netloc
        jwt = {"secret_env": secret_env}
        document = {"name": name, "url": url, "handlers": dict(handlers), "jwt": jwt}
        return cls.parse(document, Path("--url"))

    @property
    def can_end(self) -> bool:
        """Whether the server can be killed, and started again."""
        return self.start is not None and (self.url is None or self.kill is not None)

    def lacks(self, case: Case) -> str | None:
        """Why a case cannot be played against this server; None if it can."""
        needs = case.server
        handlers = needs.get("handlers", "conf")
        if handlers not in self.handlers:
            return f"{self.name} has no handlers {handlers}"
        for name in needs.get("limits", {}):
            if name not in self.limits:
                return f"the limit {name} of {self.name} cannot be set"
        for name in needs.get("settings", {}):
            if name not in self.settings:
                return f"the setting {name} of {self.name} cannot be set"
        for name in needs.get("fixtures", ()):
            if name not in self.fixtures:
                return f"{self.name} has no fixture {name}"
        if case.ends_servers and not self.can_end:
            return f"{self.name} cannot be killed and started again"
        return None

    def secret(self) -> str | None:
        """The key of its tokens where the server has one already; raises `ServerFailed`."""
        name = self.jwt.get("secret_env")
        if name is None:
            return None
        secret = os.environ.get(name)
        if not secret:
            raise ServerFailed(f"{self.name}: {name} must hold the key of its tokens (HS256)")
        return secret

    def command(self, text: str, words: Mapping[str, str]) -> list[str]:
        """A command line with its words filled in."""
        return [self.filled(part, words) for part in shlex.split(text)]

    def filled(self, text: str, words: Mapping[str, str]) -> str:
        """A text with its words filled in; raises `ServerFailed` for a word that is none."""
        try:
            return text.format(**{"python": sys.executable, "suite": str(SUITE), **words})
        except (KeyError, ValueError, IndexError) as error:
            raise ServerFailed(f"{self.name}: {text}: no such word: {error}") from None


@cache
def _schema() -> Draft202012Validator:
    package = resources.files("longcall_conformance")
    text = package.joinpath("manifest.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


async def make_fixture(manifest: Manifest, name: str, folder: Path) -> Path:
    """Makes a file that cases need, once; returns its path."""
    if name not in manifest.fixtures:
        raise ServerFailed(f"the manifest {manifest.name} has no fixture {name}")
    path, partial = folder / name, folder / f"{name}.partial"
    if await asyncio.to_thread(_is_there, path):
        return path
    command = manifest.command(manifest.fixtures[name], {"file": str(partial)})
    process = await asyncio.create_subprocess_exec(*command, cwd=manifest.folder)
    if await process.wait() != 0:
        raise ServerFailed(f"the fixture {name} could not be made")
    await asyncio.to_thread(partial.rename, path)
    return path


def _is_there(path: Path) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.exists()
