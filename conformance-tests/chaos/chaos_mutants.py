# SPDX-License-Identifier: Apache-2.0
"""Servers with one defect each, to see that chaos finds it: `serve chaos_mutants:with_NAME`.

Each is the chaos application; that it is loaded puts the defect into the server around it.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

from chaos_handlers import handlers
from planting import Defects, planted

from longcall_server import Handlers
from longcall_server.core import events
from longcall_server.gateway.decider import Decider
from longcall_server.stores.sqlite import sweeps
from longcall_server.stores.sqlite.engine import SqliteStore


def repeats() -> None:
    """Who comes back is told the last event that it saw once more."""
    attach = Decider._attach

    async def attach_too_early(self: Decider, principal: Any, message: Any) -> None:
        early = message.model_copy(update={"after_seq": max(0, message.after_seq - 1)})
        await attach(self, principal, early)

    Decider._attach = attach_too_early  # type: ignore[method-assign]


def voids_all() -> None:
    """A new attempt voids the chunks that a checkpoint keeps."""
    processing = events.processing

    def keeping_nothing(request_id: str, attempt: int, chunks_kept_to: int) -> events.EventDraft:
        return processing(request_id, attempt, 0 * chunks_kept_to)

    events.processing = keeping_nothing


def abandons() -> None:
    """What a dead process ran is not taken back."""
    vars(sweeps)["is_dead"] = lambda worker, *, one_machine=False: False


def loses() -> None:
    """What had not ended when the process was killed is not on the disk."""
    opens = SqliteStore.open

    async def open_after_a_loss(self: SqliteStore) -> None:
        path = Path(sys.argv[sys.argv.index("--data-dir") + 1]) / "longcall.sqlite3"
        if path.exists():
            with sqlite3.connect(path) as file:
                unfinished = "SELECT record_id FROM requests WHERE finished_at IS NULL"
                for table in ("events", "requests"):
                    file.execute(f"DELETE FROM {table} WHERE record_id IN ({unfinished})")
            file.close()
        await opens(self)

    SqliteStore.open = open_after_a_loss  # type: ignore[method-assign]


def counts() -> None:
    """What a server hands back at its end counts as a failed attempt."""
    fail = SqliteStore.fail

    async def fail_counted(
        self: SqliteStore, *given: Any, counted: bool = True, **more: Any
    ) -> Any:
        return await fail(self, *given, counted=True, **more)

    SqliteStore.fail = fail_counted  # type: ignore[method-assign]


MUTANTS: Defects = {
    defect.__name__: defect for defect in (repeats, voids_all, abandons, loses, counts)
}


def __getattr__(name: str) -> Handlers:
    return planted(name, MUTANTS, handlers)
