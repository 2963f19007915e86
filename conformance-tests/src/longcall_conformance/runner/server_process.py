# SPDX-License-Identifier: Apache-2.0
"""A server under test that the runner starts: one process, or several on the same data.

`beside` of the manifest are commands that run on the same `data`, each with a ready file of its
own. Whoever kills the server kills all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from .manifest import Manifest
from .under_test import How, ServerFailed

READY_SECONDS = 120
"""Liveness alone: a machine may be busy with much else."""
STOP_SECONDS = 60


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
        assert self._manifest.start is not None
        words = self._words
        environment = dict(os.environ)
        for name, value in self._manifest.environment.items():
            environment[name] = self._manifest.filled(value, words)
        for name, value in self._needs.get("limits", {}).items():
            environment[self._manifest.limits[name]] = str(value)
        for name, value in self._needs.get("settings", {}).items():
            environment[self._manifest.settings[name]] = value
        command = self._manifest.command(self._manifest.start, words)
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
    def _words(self) -> dict[str, str]:
        return {
            "data": str(self.data),
            "ready": str(self._ready_file),
            "port": str(self._port),
            "handlers": self._manifest.handlers[self._needs.get("handlers", "conf")],
            "fixtures": str(self._fixtures),
            "secret": self._secret,
        }

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

    async def kill(self, how: How) -> None:
        """Ends its processes: at once, or as a service manager would."""
        number = signal.SIGKILL if how == "kill9" else signal.SIGTERM
        custom = self._manifest.kill if how == "kill9" else self._manifest.stop
        every = (self, *self._beside)
        for process in every:
            assert process._process is not None
            if custom is None:
                process._process.send_signal(number)
        if custom is not None:
            words = {**self._words, "pid": str(self.pid)}
            await run_command(self._manifest, custom, words)
        for process in every:
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


async def run_command(manifest: Manifest, text: str, words: dict[str, str]) -> None:
    """Runs a command of a manifest; raises `ServerFailed` with what it wrote if it fails."""
    process = await asyncio.create_subprocess_exec(
        *manifest.command(text, words),
        cwd=manifest.folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    wrote, _ = await process.communicate()
    if process.returncode != 0:
        raise ServerFailed(f"{text} ended with {process.returncode}:\n{wrote.decode()[-2_000:]}")
