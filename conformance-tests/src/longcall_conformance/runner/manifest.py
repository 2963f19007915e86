# SPDX-License-Identifier: Apache-2.0
"""A server under test, described by a manifest: how it is started, and with what.

Any server in any language can be described. `{…}` in the commands is filled in: `python` (this
interpreter), `data` (a folder of this run), `ready` (the file that the server writes when it is
ready: JSON with `url`), `port` (0 at the first start, then the one it had), `handlers`, `file`.

A server may be several processes: `beside` are commands that run on the same `data`, each with a
ready file of its own. Whoever kills the server kills all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

READY_SECONDS = 30
STOP_SECONDS = 45


class ServerFailed(Exception):
    """The server under test did not start, or ended on its own."""


@dataclass(frozen=True)
class Manifest:
    """What the file says; relative paths count from the manifest's folder."""

    name: str
    start: str
    environment: dict[str, str]
    limits: dict[str, str]
    handlers: dict[str, str]
    fixtures: dict[str, str]
    folder: Path
    beside: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Reads a manifest; raises `ServerFailed` when a member is missing or unknown."""
        document = yaml.safe_load(path.read_text("utf-8"))
        known = {"name", "start", "beside", "environment", "limits", "handlers", "fixtures"}
        if not isinstance(document, dict) or set(document) - known or "start" not in document:
            raise ServerFailed(f"{path}: a manifest has {', '.join(sorted(known))}")
        return cls(
            name=document["name"],
            start=document["start"],
            environment=document.get("environment", {}),
            limits=document.get("limits", {}),
            handlers=document.get("handlers", {}),
            fixtures=document.get("fixtures", {}),
            folder=path.parent.resolve(),
            beside=tuple(document.get("beside", ())),
        )


class ServerProcess:
    """One server; it may be killed and started again on the same data.

    `data` is the folder of another one, if it is to work on that; `port` the first one's.
    """

    def __init__(
        self,
        manifest: Manifest,
        needs: dict[str, Any],
        fixtures: Path,
        secret: str,
        *,
        port: int = 0,
        data: Path | None = None,
    ) -> None:
        self._manifest = manifest
        self._needs = needs
        self._fixtures = fixtures
        self._secret = secret
        self._folder = tempfile.TemporaryDirectory(prefix="longcall-server-")
        self._process: asyncio.subprocess.Process | None = None
        self._port = port
        self._data = data
        self.url = ""
        self._beside = [
            ServerProcess(
                replace(manifest, start=command, beside=()), needs, fixtures, secret, data=self.data
            )
            for command in manifest.beside
        ]

    @property
    def data(self) -> Path:
        """The folder that the server keeps its store in: another one's, or its own."""
        return self._data or self._own

    @property
    def _own(self) -> Path:
        return Path(self._folder.name)

    @property
    def pid(self) -> int:
        """The process that was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Of the process that was started last; negative: the signal that ended it."""
        return None if self._process is None else self._process.returncode

    def fixture(self, name: str) -> Path:
        """The file that a fixture made."""
        return self._fixtures / name

    def log(self) -> str:
        """The end of what the server wrote."""
        return self.whole_log()[-4_000:]

    def whole_log(self) -> str:
        """What all its processes wrote."""
        path = self._own / "server.log"
        mine = path.read_text("utf-8", "replace") if path.exists() else ""
        return mine + "".join(process.whole_log() for process in self._beside)

    async def start(self) -> None:
        """Starts the server and waits until it says that it is ready."""
        await self.launch()
        ready = await self._ready(self._ready_file)
        if "url" in ready:  # a worker has none
            self.url = ready["url"]
            self._port = int(self.url.split(":")[2].split("/")[0])
        for process in self._beside:
            if not process.is_running:
                await process.start()

    async def launch(self) -> None:
        """Starts the server and does not wait for it."""
        ready = self._ready_file
        ready.unlink(missing_ok=True)
        words = {
            "python": sys.executable,
            "data": str(self.data),
            "ready": str(ready),
            "port": str(self._port),
            "handlers": self._manifest.handlers[self._needs.get("handlers", "demo")],
            "fixtures": str(self._fixtures),
            "secret": self._secret,
        }
        environment = dict(os.environ)
        for name, value in self._manifest.environment.items():
            environment[name] = value.format(**words)
        for name, value in self._needs.get("limits", {}).items():
            environment[self._manifest.limits[name]] = str(value)
        command = [part.format(**words) for part in shlex.split(self._manifest.start)]
        with (self._own / "server.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                cwd=self._manifest.folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def _ready_file(self) -> Path:
        return self._own / "ready.json"

    async def _ready(self, path: Path) -> dict[str, Any]:
        assert self._process is not None
        ended = asyncio.create_task(self._process.wait())
        try:
            async with asyncio.timeout(READY_SECONDS):
                # The file is the readiness signal; a poll is how any server can give it.
                while not await asyncio.to_thread(path.exists):
                    done, _ = await asyncio.wait({ended}, timeout=0.02)
                    if done:
                        raise ServerFailed(f"it ended at once:\n{self.log()}")
        except TimeoutError:
            raise ServerFailed(f"not ready after {READY_SECONDS} s:\n{self.log()}") from None
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
        return dict(json.loads(await asyncio.to_thread(path.read_text, "utf-8")))

    async def kill(self, how: Literal["kill9", "term"]) -> None:
        """Ends its processes: at once, or as a service manager would."""
        number = signal.SIGKILL if how == "kill9" else signal.SIGTERM
        for process in (self, *self._beside):
            assert process._process is not None
            process._process.send_signal(number)
        for process in (self, *self._beside):
            assert process._process is not None
            await asyncio.wait_for(process._process.wait(), STOP_SECONDS)

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.returncode is None

    async def stop(self) -> None:
        """Ends whatever still runs and removes the data."""
        for process in self._beside:
            await process.stop()
        if self.is_running:
            assert self._process is not None
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._folder.cleanup()


async def make_fixture(manifest: Manifest, name: str, folder: Path) -> Path:
    """Makes a file that cases need, once; returns its path."""
    if name not in manifest.fixtures:
        raise ServerFailed(f"the manifest {manifest.name} has no fixture {name}")
    path, partial = folder / name, folder / f"{name}.partial"
    if await asyncio.to_thread(_is_there, path):
        return path
    words = {"python": sys.executable, "file": str(partial)}
    command = [part.format(**words) for part in shlex.split(manifest.fixtures[name])]
    process = await asyncio.create_subprocess_exec(*command, cwd=manifest.folder)
    if await process.wait() != 0:
        raise ServerFailed(f"the fixture {name} could not be made")
    await asyncio.to_thread(partial.rename, path)
    return path


def _is_there(path: Path) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.exists()
