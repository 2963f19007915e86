# SPDX-License-Identifier: Apache-2.0
import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any, cast

import pytest
from conftest import Killed
from pydantic import BaseModel, ValidationError

from longcall_demo.text.handler import TextParams, TextResult, stream_text
from longcall_server import JsonValue, RequestContext
from longcall_server.testing import run_handler


class Writing:
    """A RequestContext that keeps the chunks, and is gone when it has as many as it may."""

    def __init__(self, checkpoint: JsonValue = None, kill_after: int | None = None) -> None:
        self.checkpoint = checkpoint
        self.texts: list[str] = []
        self.checkpoints: list[JsonValue] = []
        self.percentages: list[float] = []
        self.begun = asyncio.Event()
        self._kill_after = kill_after

    async def chunk(self, data: BaseModel, *, checkpoint: JsonValue) -> int:
        if len(self.texts) == self._kill_after:
            raise Killed
        self.texts.append(data.model_dump()["text"])
        self.checkpoints.append(checkpoint)
        self.begun.set()
        return len(self.texts)

    async def progress(self, percentage: float, message: str) -> None:
        self.percentages.append(percentage)

    async def run(self, payload: Mapping[str, Any]) -> TextResult:
        params = TextParams.model_validate(payload)
        return await stream_text(cast(RequestContext, self), params)


async def test_each_word_is_a_chunk_and_joined_they_are_the_text() -> None:
    run = await run_handler(stream_text, {"words": 2_000})
    texts = [chunk["text"] for chunk in run.chunks if isinstance(chunk, dict)]
    whole = "".join(str(text) for text in texts)
    assert len(texts) == 2_000 == len(whole.split())
    assert all(len(str(text).split()) == 1 for text in texts)
    assert run.result == {
        "words": 2_000,
        "chunks": 2_000,
        "characters": len(whole),
        "sha256": hashlib.sha256(whole.encode()).hexdigest(),
    }
    assert run.checkpoint == 2_000


async def test_the_same_seed_writes_the_same_text_everywhere() -> None:
    writing = Writing()
    result = await writing.run({"words": 1_000, "seed": 11})
    assert result.sha256 == "1182e32df72b83d37864870cc6f64ddbfb3ded02bc8134207bf66b347d2bb437"
    other = Writing()
    assert (await other.run({"words": 1_000, "seed": 12})).sha256 != result.sha256


@pytest.mark.parametrize("words_per_chunk", [1, 7, 1_000])
async def test_however_it_is_cut_the_text_is_the_same(words_per_chunk: int) -> None:
    whole, cut = Writing(), Writing()
    await whole.run({"words": 500})
    result = await cut.run({"words": 500, "words_per_chunk": words_per_chunk})
    assert "".join(cut.texts) == "".join(whole.texts)
    assert result.chunks == len(cut.texts) == -(-500 // words_per_chunk)
    assert cut.checkpoints[-1] == 500


@pytest.mark.parametrize("payload", [{"words": 60}, {"words": 60, "words_per_chunk": 7}], ids=str)
async def test_killed_after_any_chunk_it_writes_on_without_a_gap_or_a_repeat(
    payload: dict[str, Any],
) -> None:
    unbroken = Writing()
    whole = await unbroken.run(payload)
    for stored in range(len(unbroken.texts)):
        first = Writing(kill_after=stored)
        with pytest.raises(Killed):
            await first.run(payload)
        second = Writing(first.checkpoints[-1] if stored else None)
        assert await second.run(payload) == whole
        assert first.texts + second.texts == unbroken.texts
        assert len(first.texts) == stored


async def test_killed_after_the_last_chunk_it_completes() -> None:
    whole = await Writing().run({"words": 20})
    last = Writing(checkpoint=20)
    assert await last.run({"words": 20}) == whole
    assert last.texts == []


async def test_progress_is_told_a_hundred_times_at_most_and_ends_at_100() -> None:
    writing = Writing()
    await writing.run({"words": 5_000})
    assert len(writing.percentages) == 100
    assert writing.percentages == sorted(writing.percentages)
    assert writing.percentages[-1] == 100
    short = Writing()
    await short.run({"words": 3})
    assert short.percentages[-1] == 100


async def test_a_pace_holds_back_each_word_until_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await Writing().run({"words": 5, "words_per_second": 0.1})
    # The first at once; each later one when as many words as came before it have had their time.
    assert waits == [pytest.approx(10 * n, abs=5) for n in (1, 2, 3, 4)]


async def test_a_cancel_ends_it_between_two_words() -> None:
    writing = Writing()
    running = asyncio.create_task(writing.run({"words": 100, "words_per_second": 0.1}))
    await writing.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert writing.checkpoints == [1]


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        ({"words": 0}, "words"),
        ({"words": 100_001}, "words"),
        ({"words": "many"}, "words"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"words_per_chunk": 0}, "words_per_chunk"),
        ({"words_per_chunk": 1_001}, "words_per_chunk"),
        ({"words_per_second": 0}, "words_per_second"),
        ({"words_per_second": 10_001}, "words_per_second"),
        ({"word": 5}, "word"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_and_named(payload: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TextParams.model_validate(payload)
    assert refused.value.errors()[0]["loc"] == (place,)
