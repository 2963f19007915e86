# SPDX-License-Identifier: Apache-2.0
"""`stream_text`: every word is a chunk that stands, whatever happens after it.

A word and the checkpoint that counts it are stored in one transaction. That costs hardly more than
the word alone, and the next attempt writes on after the last word that stands: none is repeated,
none is lost, and no reader has to take back what it has shown.

Each chunk waits for the disk, one after the other. Asking for several at once would change nothing:
the writes of a request follow each other. More words a chunk make a long text faster.
"""

import asyncio
import hashlib
from collections.abc import Iterator
from itertools import islice

from pydantic import BaseModel, ConfigDict, Field

from longcall_demo.text.prose import words
from longcall_server import RequestContext

REPORTS = 100
"""So often, at the most, the progress is told."""


class TextParams(BaseModel):
    """The payload of `stream_text`; `{}` is 500 words, one a chunk, as fast as they can be kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    words: int = Field(default=500, ge=1, le=100_000, description="length of the text")
    seed: int = Field(default=7, ge=0, le=2**53 - 1, description="the same seed, the same text")
    words_per_chunk: int = Field(default=1, ge=1, le=1_000)
    words_per_second: float | None = Field(
        default=None, ge=0.1, le=10_000, description="at the most; null for no limit"
    )


class Words(BaseModel):
    """A chunk of `stream_text`."""

    text: str = Field(description="the next words, with the white space after them")


class TextResult(BaseModel):
    """The result of `stream_text`: what the texts of all chunks, joined, come to."""

    words: int
    chunks: int
    characters: int
    sha256: str = Field(description="of the whole text in UTF-8, in hex")


async def stream_text(ctx: RequestContext, params: TextParams) -> TextResult:
    """Streams text word by word, as a language model would; every chunk is a Words object.

    The checkpoint is the number of words that stand. The same parameters give the same chunks.
    """
    stand = ctx.checkpoint if isinstance(ctx.checkpoint, int) else 0
    pace = _Pace(params.words_per_second)
    digest, written, chunks, characters = hashlib.sha256(), 0, 0, 0
    for count, text in _pieces(params):
        written += count
        chunks += 1
        characters += len(text)
        digest.update(text.encode())
        if written <= stand:
            continue
        await pace.wait(count)
        await ctx.chunk(Words(text=text), checkpoint=written)
        if written * REPORTS // params.words != (written - count) * REPORTS // params.words:
            await ctx.progress(100 * written / params.words, f"{written} words")
    return TextResult(
        words=written, chunks=chunks, characters=characters, sha256=digest.hexdigest()
    )


def _pieces(params: TextParams) -> Iterator[tuple[int, str]]:
    """The chunks: how many words, and their text."""
    every = islice(words(params.seed), params.words)
    while piece := list(islice(every, params.words_per_chunk)):
        yield len(piece), "".join(piece)


class _Pace:
    """Holds words back that come too early; counts from the first, so that no error adds up."""

    def __init__(self, words_per_second: float | None) -> None:
        self._rate = words_per_second
        self._start: float | None = None
        self._words = 0

    async def wait(self, count: int) -> None:
        """Returns when the next `count` words may go out."""
        if self._rate is None:
            return
        now = asyncio.get_running_loop().time()
        if self._start is None:
            self._start = now
        early = self._start + self._words / self._rate - now
        self._words += count
        if early > 0:
            await asyncio.sleep(early)
