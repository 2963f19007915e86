# SPDX-License-Identifier: Apache-2.0
"""Where the handler of a stored request writes: its log, under the fence of its lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from longcall_server.bus.base import Bus
from longcall_server.core import events
from longcall_server.core.events import EventDraft
from longcall_server.files import FileStore
from longcall_server.handlers.attempt import FileDraft
from longcall_server.handlers.errors import AttemptFenced, LogLimitReached
from longcall_server.stores.base import (
    Fenced,
    Lease,
    LogFull,
    Store,
    StoredProgress,
    StoreError,
)
from longcall_server.stores.outcomes import until_known

_log = logging.getLogger(__name__)


def log_failure(what: str, error: Exception) -> None:
    """Logs why something will be tried anew: a store that does not answer, or a defect."""
    if isinstance(error, StoreError):
        _log.warning("%s failed: %r", what, error)
    else:
        _log.error("%s failed unexpectedly", what, exc_info=error)


class LeaseWriter:
    """The `AttemptWriter` of a lease. Appends follow each other, whoever asks (PROTOCOL 10.18).

    `on_fenced` is called when the attempt turns out not to be the current one any more, and
    `on_unheard` for progress that is too long for the bus.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        files: FileStore,
        lease: Lease,
        *,
        on_fenced: Callable[[], None],
        on_unheard: Callable[[], None],
    ) -> None:
        self._store = store
        self._bus = bus
        self._files = files
        self._lease = lease
        self._on_fenced = on_fenced
        self._on_unheard = on_unheard
        self._operation = 0
        self._closed = False
        self._turn = asyncio.Lock()
        self._writes: set[asyncio.Task[int]] = set()

    def progress(self, progress: StoredProgress) -> None:
        """To the followers at once; the store gets it with the next renewal or the end."""
        if not self._bus.progress_reported(self._lease.key, progress):
            self._on_unheard()

    async def chunk(self, data: str, checkpoint: str | None) -> int:
        """Appends a chunk, with a checkpoint in the same transaction; returns its `seq`."""
        lease = self._lease
        return await self._append(events.chunk(lease.key.id, lease.attempt, data), checkpoint)

    async def save_checkpoint(self, checkpoint: str) -> None:
        """Keeps a checkpoint."""
        await self._append(None, checkpoint)

    async def open_file(self, name: str, media_type: str) -> FileDraft:
        """Begins a file of this attempt."""
        return await self._files.open(self._lease.key, self._lease.attempt, name, media_type)

    async def close(self) -> None:
        """Takes no more writes and waits for those that have begun."""
        self._closed = True
        if self._writes:
            await asyncio.wait(self._writes)

    async def _append(self, draft: EventDraft | None, checkpoint: str | None) -> int:
        # A handler that is cancelled here must not leave a write whose outcome nobody learns:
        # the next operation number would be wrong.
        write = asyncio.create_task(self._write(draft, checkpoint))
        self._writes.add(write)
        write.add_done_callback(self._forget)
        return await asyncio.shield(write)

    def _forget(self, write: asyncio.Task[int]) -> None:
        self._writes.discard(write)
        if not write.cancelled():
            write.exception()  # who waited for it may be gone: then nobody needs to know

    async def _write(self, draft: EventDraft | None, checkpoint: str | None) -> int:
        async with self._turn:
            if self._closed:
                raise AttemptFenced("the handler has ended")
            operation = self._operation + 1
            try:
                seq = await until_known(
                    f"a write of request {self._lease.key.id}",
                    lambda: self._store.append(
                        self._lease, draft, operation=operation, checkpoint=checkpoint
                    ),
                )
            except Fenced:
                self._on_fenced()
                raise AttemptFenced("this attempt is no longer the current one") from None
            except LogFull as error:
                raise LogLimitReached(f"The log of the request is full. {error}".strip()) from None
            self._operation = operation
        self._bus.request_changed(self._lease.key)
        return seq
