# SPDX-License-Identifier: Apache-2.0
"""A client by the Python SDK that writes down everything that its application sees."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from board import Board, Favour, Identity
from workload import Asked

import longcall
from longcall_conformance.referee.observations import ObservationFile

_AT_ONCE = 3
"""Requests that a client has open."""
_OPTIONS = longcall.Options(backoff_initial=0.05, backoff_maximum=0.5)
_DOWNLOAD_PAUSE = 0.1


class SdkClient:
    """Asks until the board says stop, and then waits for what is open."""

    def __init__(
        self,
        identity: Identity,
        board: Board,
        observed: ObservationFile,
        ask: Callable[[Random], Asked],
    ) -> None:
        self._identity = identity
        self._board = board
        self._observed = observed
        self._ask = ask
        self._count = 0
        self.reconnects = 0

    async def run(self) -> None:
        """Returns when everything that it asked for has ended."""
        try:
            async with longcall.connect(
                self._identity.url,
                self._identity.token,
                options=_OPTIONS,
                on_state=self._state_changed,
            ) as client:
                await asyncio.gather(
                    *(self._ask_on(client) for _ in range(_AT_ONCE)), self._do_favours(client)
                )
        finally:
            self._observed.close()

    def _state_changed(self, state: longcall.ClientState) -> None:
        self.reconnects += state.name == longcall.ConnectionState.READY and state.resumed

    async def _ask_on(self, client: longcall.Client) -> None:
        while not self._board.stopping.is_set():
            self._count += 1
            request_id = f"{self._identity.name}-{self._count}"
            asked = self._ask(self._identity.rng)
            self._observed.note(
                "submit",
                request_id,
                action=asked.action,
                payload=asked.payload,
                expect=asked.expect,
            )
            self._board.submitted += 1
            try:
                await self._request(client, request_id, asked)
            except Exception as error:
                self._observed.note("trouble", request_id, text=repr(error))
                if isinstance(error, longcall.ConnectionClosed):
                    return  # for good
            finally:
                self._board.saw_end(request_id)

    async def _request(self, client: longcall.Client, request_id: str, asked: Asked) -> None:
        try:
            handle = await client.submit(
                asked.action, asked.payload, id=request_id, deadline=asked.deadline_s
            )
        except longcall.RequestError as error:
            self._observed.note("error", request_id, handle="submit", code=error.code)
            return
        if asked.is_quick and handle.is_finished:
            await self._outcome(handle, "quick")
            return
        self._observed.note("acknowledged", request_id)
        if asked.cancelled:
            self._board.favours.put_nowait(Favour("cancel", request_id))
        elif asked.watched:
            self._board.favours.put_nowait(Favour("watch", request_id))
        await self._follow(handle, "own")
        for name in asked.expect.get("files", ()):
            await self._download(handle, name)

    async def _follow(self, handle: longcall.RequestHandle, name: str) -> None:
        """Reads the log to its end, and then asks for the outcome."""
        note = self._observed.note
        reading = f"{name}-{handle.id}"
        note("read", handle.id, reading=reading)
        async for event in handle:
            match event:
                case longcall.Status():
                    if name == "own":
                        self._board.saw(handle.id, event.status)
                    note(
                        "status",
                        handle.id,
                        reading=reading,
                        seq=event.seq,
                        status=event.status,
                        attempt=event.attempt,
                        chunks_kept_to=event.chunks_kept_to,
                        retry_at=event.retry_at and event.retry_at.isoformat(),
                        error=event.error and {"code": event.error.code},
                    )
                case longcall.Chunk():
                    note(
                        "chunk",
                        handle.id,
                        reading=reading,
                        seq=event.seq,
                        attempt=event.attempt,
                        data=event.data,
                    )
                case longcall.Progress():
                    note(
                        "progress",
                        handle.id,
                        reading=reading,
                        attempt=event.attempt,
                        version=event.version,
                        percentage=event.percentage,
                    )
        note("end", handle.id, reading=reading)
        await self._outcome(handle, name)

    async def _outcome(self, handle: longcall.RequestHandle, name: str) -> None:
        name = f"{name}-{handle.id}"
        try:
            result = await handle.result()
        except longcall.RequestError as error:
            self._observed.note(
                "error", handle.id, handle=name, code=error.code, details=error.details
            )
        else:
            self._observed.note("result", handle.id, handle=name, result=result)

    async def _download(self, handle: longcall.RequestHandle, name: str) -> None:
        """A download is one HTTP request: only the application can ask again."""
        with tempfile.TemporaryDirectory(prefix="longcall-chaos-") as folder:
            while True:
                try:
                    file = await handle.download(name, Path(folder))
                    break
                except (OSError, longcall.DownloadError, longcall.UnavailableError):
                    await asyncio.sleep(_DOWNLOAD_PAUSE)
        self._observed.note("file", handle.id, name=name, size=file.size, sha256=file.sha256)

    # --- For others -------------------------------------------------------------------------------

    async def _do_favours(self, client: longcall.Client) -> None:
        """Until nobody can ask for one any more."""
        over = asyncio.create_task(self._board.all_ended.wait())
        working: set[asyncio.Task[None]] = set()
        try:
            while not over.done():
                favour = asyncio.create_task(self._board.favours.get())
                await asyncio.wait([favour, over], return_when=asyncio.FIRST_COMPLETED)
                if favour.done():
                    working.add(asyncio.create_task(self._do(client, favour.result())))
                else:
                    favour.cancel()
            await asyncio.gather(*working)
        finally:
            for task in (over, *working):
                task.cancel()

    async def _do(self, client: longcall.Client, favour: Favour) -> None:
        request_id = favour.request_id
        try:
            handle = client.attach(request_id)
            if favour.what == "cancel":
                self._observed.note("cancel", request_id, reason="chaos")
                await handle.cancel("chaos")
            await self._follow(handle, "other")
        except Exception as error:
            self._observed.note("trouble", request_id, text=repr(error))
