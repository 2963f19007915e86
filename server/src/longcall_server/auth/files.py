# SPDX-License-Identifier: Apache-2.0
"""Keys in a file, read again when it changes: keys are rotated without a restart or a signal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from longcall_server.auth.errors import KeyProblem
from longcall_server.auth.keys import MAX_KEYS, Key, pem_keys, secret_key

LOOK_S: Final = 2.0
"""How often a file is looked at."""
MAX_FILE_BYTES: Final = 1_048_576

_log = logging.getLogger(__name__)


def pem_file(data: bytes) -> tuple[Key, ...]:
    """Public keys, one or more PEM blocks."""
    return pem_keys(data.decode(errors="replace"))


def secrets_file(data: bytes) -> tuple[Key, ...]:
    """Shared secrets, one a line; blank lines and lines that begin with `#` are passed over."""
    lines = [line.strip() for line in data.splitlines()]
    secrets = [line for line in lines if line and not line.startswith(b"#")]
    if not 0 < len(secrets) <= MAX_KEYS:
        raise KeyProblem(f"there must be from 1 to {MAX_KEYS} secrets, one a line")
    return tuple(secret_key(secret) for secret in secrets)


class KeyFile:
    """The keys of one file; a new content that is broken leaves the keys as they were.

    Reads the file at once; raises `KeyProblem`, which names it, if there are no good keys in it.
    """

    def __init__(
        self, path: Path, parse: Callable[[bytes], tuple[Key, ...]], *, look_s: float = LOOK_S
    ) -> None:
        self._path = path
        self._parse = parse
        self._look_s = look_s
        self._problem: str | None = None
        self._task: asyncio.Task[None] | None = None
        try:
            self._data = _read(path)
            self._keys = parse(self._data)
        except KeyProblem as problem:
            raise KeyProblem(f"{path}: {problem}") from None

    @property
    def keys(self) -> Sequence[Key]:
        """Those of the last good content."""
        return self._keys

    async def start(self) -> None:
        """Begins to look at the file."""
        self._task = asyncio.create_task(self._run(), name="longcall key file")

    async def close(self) -> None:
        """Looks no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Takes the keys of the file if it has changed."""
        try:
            # By content: a file that is replaced may look as old as the one before.
            data = await asyncio.to_thread(_read, self._path)
            keys = self._keys if data == self._data else self._parse(data)
        except KeyProblem as problem:
            if str(problem) != self._problem:
                self._problem = str(problem)
                _log.error("%s: %s; the keys stay as they were", self._path, problem)
            return
        self._problem = None
        if data != self._data:
            self._data, self._keys = data, keys
            _log.info("%s has changed: keys: %d", self._path, len(keys))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            try:
                await self.look()
            except Exception:
                _log.exception("%s cannot be looked at", self._path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise KeyProblem(f"it cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise KeyProblem(f"it has more than {MAX_FILE_BYTES} bytes")
    return data
