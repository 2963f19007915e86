# SPDX-License-Identifier: Apache-2.0
"""Frames by hand: what is built is what was asked for, and what is read is judged to the bit."""

from __future__ import annotations

import asyncio

import pytest

from longcall_conformance.referee.frames import (
    Frame,
    IncompleteFrame,
    LengthForm,
    Opcode,
    build,
    encode,
    is_sendable,
    read_frame,
)
from longcall_conformance.runner.play import StepFailed
from longcall_conformance.runner.verbs.frames import frame_bytes

KEY = bytes.fromhex("37fa213d")


async def read(data: bytes, *, limit: int = 1 << 20) -> Frame:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await read_frame(reader, limit=limit)


def run_read(data: bytes, *, limit: int = 1 << 20) -> Frame:
    return asyncio.run(read(data, limit=limit))


@pytest.mark.parametrize(
    ("data", "wire"),
    [
        # The examples of RFC 6455 5.7.
        (build(Opcode.TEXT, b"Hello", key=None), "810548656c6c6f"),
        (build(Opcode.TEXT, b"Hello", key=KEY), "818537fa213d7f9f4d5158"),
        (build(Opcode.TEXT, b"Hel", key=None, fin=False), "010348656c"),
        (build(Opcode.CONTINUATION, b"lo", key=None), "80026c6f"),
        (build(Opcode.PING, b"Hello", key=None), "890548656c6c6f"),
        (build(Opcode.BINARY, bytes(256), key=None)[:4], "827e0100"),
        (build(Opcode.BINARY, bytes(65_536), key=None)[:10], "827f0000000000010000"),
        # And what no library would send.
        (build(3, b"", key=None, rsv=7), "f300"),
        (build(Opcode.TEXT, b"a", key=None, form=LengthForm.LONG), "817f000000000000000161"),
        (build(Opcode.TEXT, b"a", key=None, form=LengthForm.SHORT, says=9), "810961"),
    ],
)
def test_a_frame_is_built_to_the_bit(data: bytes, wire: str) -> None:
    assert data.hex() == wire


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("mask", [True, False])
def test_a_frame_that_was_read_has_the_bytes_that_were_sent(size: int, mask: bool) -> None:
    sent = encode(Opcode.BINARY, bytes(n % 251 for n in range(size)), mask=mask)
    frame = run_read(sent)
    assert frame.wire == sent
    assert frame.defect(masked=mask) is None


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9, 15])
def test_a_frame_that_is_cut_off_says_what_came_of_it(size: int) -> None:
    sent = build(Opcode.TEXT, bytes(300), key=KEY)[:size]
    with pytest.raises(IncompleteFrame) as caught:
        run_read(sent)
    assert caught.value.partial == sent


def test_a_payload_over_the_limit_is_not_read() -> None:
    with pytest.raises(ValueError, match="a frame of 101 bytes"):
        run_read(build(Opcode.TEXT, b"", key=None, says=101), limit=100)


@pytest.mark.parametrize(
    ("wire", "defect"),
    [
        ("8180" + "00" * 4, "a masked frame"),
        ("c100", "reserved bits 100"),
        ("8300", "opcode 3"),
        ("817e000161", "the length 1 in 16 bits"),
        ("0900", "a control frame"),
        ("897e007e" + "00" * 126, "a control frame of 126 bytes"),
        ("880103", "half a code"),
        ("880203ee", "a close frame with 1006"),
        ("880403e8c328", "a close reason that is not UTF-8"),
    ],
)
def test_what_a_peer_must_not_send_is_named(wire: str, defect: str) -> None:
    found = run_read(bytes.fromhex(wire)).defect(masked=False)
    assert found is not None
    assert defect in found


def test_a_frame_that_a_client_must_mask_is_judged_as_that() -> None:
    assert run_read(bytes.fromhex("8100")).defect(masked=True) == "a frame that is not masked"


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_close_codes_that_may_be_sent(code: int) -> None:
    assert is_sendable(code)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
def test_close_codes_that_must_not_be_sent(code: int) -> None:
    assert not is_sendable(code)


def test_a_case_describes_a_frame_by_its_parts() -> None:
    described = {"opcode": "close", "code": 1000, "text": "é", "mask": False}
    assert frame_bytes(described).hex() == "880403e8c3a9"
    assert frame_bytes({"opcode": 2, "bytes": 3, "mask": "00000000", "cut": 7}).hex() == (
        "828300000000" + "61"
    )


def test_a_length_that_does_not_fit_its_form_is_no_frame() -> None:
    with pytest.raises(StepFailed, match="a length of 300 does not fit 7 bits"):
        frame_bytes({"opcode": "text", "bytes": 300, "form": 7})
