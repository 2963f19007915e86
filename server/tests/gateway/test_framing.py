# SPDX-License-Identifier: Apache-2.0
"""What the guard before aiohttp's reader finds, however the bytes were cut by the network."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from aiohttp import WebSocketError

from longcall_server.gateway.framing import Framing, GuardedReader

KEY = b"\x01\x02\x03\x04"


def frame(
    first: int, size: int, *, form: int | None = None, masked: bool = True, payload: bytes = b""
) -> bytes:
    """A frame whose head says `size`; the payload stands there as it is, or is zeros."""
    form = form or (7 if size < 126 else 16 if size < 65_536 else 64)
    flag = 0x80 if masked else 0
    if form == 7:
        head = bytes([first, flag | size])
    elif form == 16:
        head = bytes([first, flag | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, flag | 127]) + struct.pack("!Q", size)
    return head + (KEY if masked else b"") + (payload or bytes(size))


GOOD = [
    frame(0x81, 0),
    frame(0x81, 125),
    frame(0x81, 126),
    frame(0x82, 65_535),
    frame(0x82, 65_536),
    frame(0x89, 3) + frame(0x8A, 125) + frame(0x81, 1),
    frame(0x01, 0) + frame(0x89, 2) + frame(0x00, 5) + frame(0x80, 0) + frame(0x81, 4),
]
BAD = {
    "not masked": frame(0x81, 4, masked=False),
    "an empty one not masked": frame(0x8A, 0, masked=False),
    "16 bits for 125": frame(0x81, 125, form=16),
    "64 bits for 65,535": frame(0x81, 65_535, form=64),
    "64 bits for none": frame(0x80, 0, form=64),
    "the highest bit": frame(0x81, 1 << 63, payload=b"x"),
    "a ping with a reserved bit": frame(0xC9, 1),
    "a close with a reserved bit": frame(0x98, 2),
    "text in text": frame(0x01, 0) + frame(0x81, 4),
    "binary in text": frame(0x01, 3) + frame(0x00, 2) + frame(0x02, 4),
}


def result(pieces: list[bytes]) -> tuple[bytes, str | None]:
    """What the guard lets pass of bytes that come in these pieces, and what is wrong then."""
    framing, passed = Framing(), b""
    for piece in pieces:
        fine, defect = framing.take(piece)
        passed += piece[:fine]
        if defect is not None:
            return passed, defect
    return passed, None


@pytest.mark.clause("2.2.4")
@pytest.mark.parametrize("stream", GOOD, ids=range(len(GOOD)))
def test_what_is_legal_passes_in_pieces_of_any_size(stream: bytes) -> None:
    for size in (1, 2, 3, 5, 7, 64, 4096, len(stream)):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert result(pieces) == (stream, None)


@pytest.mark.clause("2.2.4")
@pytest.mark.parametrize("name", BAD)
def test_what_is_not_legal_is_found_at_its_head(name: str) -> None:
    before = frame(0x81, 20) + frame(0x89, 1)
    bad = BAD[name]
    passed, defect = result([before + bad + frame(0x81, 1)])
    assert defect is not None
    assert passed.startswith(before)
    # Of what is wrong no byte has passed: what has is the legal beginning of the message.
    assert bad.startswith(passed.removeprefix(before))
    assert Framing().take(passed) == (len(passed), None)


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_legal_is_found_where_it_comes_alone(name: str) -> None:
    assert result([BAD[name]])[1] is not None


def test_a_whole_message_that_comes_alone_within_another_one_is_found() -> None:
    for size in (3, 300):
        passed, defect = result([frame(0x01, 5), frame(0x81, size)])
        assert (passed, defect) == (frame(0x01, 5), "A message begins within another one.")


def test_a_message_that_comes_alone_leaves_the_next_head_where_it_is() -> None:
    for size in (0, 125, 126, 300):
        whole = frame(0x81, size)
        assert result([whole, whole, whole + whole, whole[:4], whole[4:]])[1] is None
        assert result([whole, frame(0x81, 1, masked=False)])[1] == "A frame of a client is masked."


@pytest.mark.parametrize("name", BAD)
def test_the_same_is_found_wherever_the_network_cuts(name: str) -> None:
    stream = frame(0x81, 3) + BAD[name][:200_000]
    whole = result([stream])
    for cut in range(min(len(stream), 40)):
        passed, defect = result([stream[:cut], stream[cut:]])
        assert defect == whole[1]
        # A head that was cut has passed in part, and never as a whole.
        assert whole[0].startswith(passed) or passed.startswith(whole[0])
        assert len(passed) < len(whole[0]) + 10


class Reader:
    """Takes what the guard hands on; breaks where it is told."""

    def __init__(self, breaks_at: bytes = b"-") -> None:
        self.taken = b""
        self.ended = False
        self._breaks_at = breaks_at

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.taken += data
        return self._breaks_at in data, b""

    def feed_eof(self) -> None:
        self.ended = True


class Queue:
    """Keeps the error that the reader of messages will see."""

    def __init__(self) -> None:
        self.errors: list[Any] = []

    def set_exception(self, error: BaseException) -> None:
        self.errors.append(error)


def test_what_comes_before_a_defect_is_handed_on_and_nothing_behind_it() -> None:
    reader, queue = Reader(), Queue()
    guard = GuardedReader(reader, queue)
    good, bad = frame(0x81, 2), frame(0x81, 2, masked=False)
    assert guard.feed_data(good + bad + good) == (True, b"")
    assert guard.feed_data(good) == (True, b"")
    assert reader.taken == good
    (error,) = queue.errors
    assert isinstance(error, WebSocketError)
    assert error.code == 1002


def test_a_defect_that_the_library_finds_first_is_the_one_that_counts() -> None:
    reader, queue = Reader(breaks_at=b"!"), Queue()
    guard = GuardedReader(reader, queue)
    assert guard.feed_data(frame(0x81, 1, payload=b"!") + frame(0x81, 1, masked=False))[0]
    assert queue.errors == []


def test_the_end_of_the_stream_is_handed_on() -> None:
    reader = Reader()
    GuardedReader(reader, Queue()).feed_eof()
    assert reader.ended
