# SPDX-License-Identifier: Apache-2.0
"""Rows as chunks, each of them once over all attempts of a request.

How a handler goes on after a crash: each chunk is stored together with a checkpoint, the digest of
the source and the number of rows emitted so far. The next attempt, perhaps on another machine, goes
through the same source again (the digest proves it), makes the same rows, and emits those that are
not out yet.
"""

from pydantic import BaseModel, JsonValue

from longcall_demo.sources.reader import Source
from longcall_server import HandlerError, SyncRequestContext

MAX_CHUNK_BYTES = 262_144
"""Far below a message's default limit of 1 MiB, however the server writes its JSON."""


class Checkpoint(BaseModel):
    """What an attempt leaves to the next one."""

    source_sha256: str
    rows: int
    """So many have been emitted."""


class Emitter:
    """Takes all rows of an attempt in order, and emits those that no former attempt has.

    A chunk is a list of rows. It ends where `flush` is called, after `rows_a_chunk` rows (None: no
    limit), and before it would be too large. Raises HandlerError SOURCE_CHANGED if a former attempt
    emitted rows of another content.
    """

    def __init__(
        self,
        ctx: SyncRequestContext,
        source: Source,
        sha256: str,
        *,
        rows_a_chunk: int | None = None,
    ) -> None:
        self.already = 0
        """Rows that former attempts have emitted."""
        self._ctx = ctx
        self._sha256 = sha256
        self._rows_a_chunk = rows_a_chunk
        self._rows = 0
        self._piece: list[JsonValue] = []
        self._size = 0
        if ctx.checkpoint is not None:
            checkpoint = Checkpoint.model_validate(ctx.checkpoint)
            if checkpoint.source_sha256 != sha256:
                reason = f"{source.name!r} changed after {checkpoint.rows} rows of it were emitted"
                raise HandlerError("SOURCE_CHANGED", f"{reason}: ask again under a new id")
            self.already = checkpoint.rows

    def skip(self, rows: int) -> None:
        """Counts rows that were not made again, because a former attempt has emitted them."""
        self._rows += rows

    def add(self, row: BaseModel) -> None:
        """The next row."""
        if self._rows < self.already:
            self._rows += 1
            return
        size = len(row.model_dump_json())
        if self._piece and self._size + size > MAX_CHUNK_BYTES:
            self.flush()
        self._piece.append(row.model_dump(mode="json"))
        self._size += size
        self._rows += 1
        if len(self._piece) == self._rows_a_chunk:
            self.flush()

    def flush(self) -> None:
        """Emits what waits, with the checkpoint that counts it."""
        if self._piece:
            self._ctx.raise_if_cancelled()
            checkpoint = Checkpoint(source_sha256=self._sha256, rows=self._rows)
            self._ctx.chunk(self._piece, checkpoint=checkpoint.model_dump())
            self._piece, self._size = [], 0
