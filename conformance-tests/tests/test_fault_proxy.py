# SPDX-License-Identifier: Apache-2.0
"""The fault proxy between a raw client and a raw server: what each of them saw, for each fault."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from longcall_conformance.referee.fault_proxy import FaultProxy, Plan, parse_plan, parse_rules
from longcall_conformance.referee.frames import Frame, Opcode, encode, read_frame
from longcall_conformance.referee.handshake import (
    HandshakeRefused,
    read_head,
    upgrade_request,
    upgrade_response,
)

JsonObject = dict[str, Any]
PATIENCE = 30


@dataclass
class End:
    """One end of a connection: reads and writes frames by hand."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    masks: bool

    def send(self, kind: str, **members: Any) -> None:
        self.write(Opcode.TEXT, json.dumps({"type": kind, **members}).encode())

    def write(self, opcode: int, payload: bytes, *, fin: bool = True) -> None:
        self.writer.write(encode(opcode, payload, mask=self.masks, fin=fin))

    async def frame(self) -> Frame:
        async with asyncio.timeout(PATIENCE):
            return await read_frame(self.reader)

    async def message(self) -> JsonObject:
        return dict(json.loads((await self.frame()).payload))

    async def end(self) -> tuple[bytes, str]:
        """What still comes, and how the stream ends."""
        data = b""
        try:
            async with asyncio.timeout(PATIENCE):
                while part := await self.reader.read(65_536):
                    data += part
        except ConnectionResetError:
            return data, "reset"
        return data, "fin"

    def close(self) -> None:
        self.writer.transport.abort()


class Server:
    """Takes upgrades, or refuses them, and hands each connection over."""

    def __init__(self) -> None:
        self.refuses_with: bytes | None = None
        self.heads: list[bytes] = []
        self._arrived: asyncio.Queue[End] = asyncio.Queue()
        self._ends: list[End] = []
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1/connect"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = End(reader, writer, masks=False)
        self._ends.append(end)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        self.heads.append(head)
        if self.refuses_with is not None:
            writer.write(self.refuses_with)
            writer.close()
            return
        key = next(
            line.split(b": ")[1].decode()
            for line in head.split(b"\r\n")
            if line.startswith(b"Sec-WebSocket-Key")
        )
        writer.write(upgrade_response({"sec-websocket-key": key}))
        await self._arrived.put(end)

    async def accept(self) -> End:
        async with asyncio.timeout(PATIENCE):
            return await self._arrived.get()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for end in self._ends:
            end.close()
        await self._server.wait_closed()


class Stage:
    """A proxy before a server, and clients."""

    def __init__(self, server: Server, proxy: FaultProxy) -> None:
        self.server = server
        self.proxy = proxy
        self._ends: list[End] = []

    async def connect(self) -> tuple[End, End]:
        client = await self.open()
        client.writer.write(upgrade_request("x", "/v1/connect", {}))
        first, _ = await read_head(client.reader)
        if " 101 " not in first:
            raise HandshakeRefused(int(first.split()[1]), first)
        return client, await self.server.accept()

    async def open(self) -> End:
        port = int(self.proxy.url.split(":")[2].split("/")[0])
        end = End(*await asyncio.open_connection("127.0.0.1", port), masks=True)
        self._ends.append(end)
        return end

    def close(self) -> None:
        for end in self._ends:
            end.close()


@asynccontextmanager
async def stage(
    *rules: JsonObject, plan: Plan | None = None, seed: int = 0, **options: Any
) -> AsyncIterator[Stage]:
    server = Server()
    await server.start()
    proxy = FaultProxy(server.url, plan or Plan(parse_rules(rules)), seed=seed, **options)
    await proxy.start()
    made = Stage(server, proxy)
    try:
        yield made
    finally:
        made.close()
        await proxy.stop()
        await server.stop()


def rule(fault: str, **members: Any) -> JsonObject:
    return {"name": "it", "direction": "to_client", "type": "chunk", "fault": fault, **members}


# --- Without a fault ------------------------------------------------------------------------------


async def test_frames_of_both_directions_pass_unchanged() -> None:
    async with stage() as at:
        client, server = await at.connect()
        sent = b""
        for opcode, payload, fin in (
            (Opcode.TEXT, b'{"type":"ping"}', True),
            (Opcode.TEXT, b'{"type":"pi', False),
            (Opcode.PING, b"between", True),
            (Opcode.CONTINUATION, b'ng"}', True),
            (Opcode.BINARY, bytes(70_000), True),
            (Opcode.CLOSE, b"\x03\xe8", True),
        ):
            frame = encode(opcode, payload, mask=True, fin=fin)
            sent += frame
            client.writer.write(frame)
        assert await server.reader.readexactly(len(sent)) == sent
        server.send("pong", nonce="é")
        assert await client.message() == {"type": "pong", "nonce": "é"}
        report = at.proxy.report()
        assert report["connections"][0]["frames"] == {
            "to_server": {"(text)": 2, "(binary)": 1, "(close)": 1, "(ping)": 1, "ping": 1},
            "to_client": {"pong": 1},
        }


async def test_what_breaks_rfc_6455_passes_to_the_bit() -> None:
    async with stage() as at:
        client, server = await at.connect()
        # Not masked, reserved bits and opcode, a length in too many bytes, half a frame, the end.
        sent = bytes.fromhex("f301617b7e0001ff") + bytes.fromhex("81fe0002aabbccdd00")
        client.writer.write(sent)
        client.writer.write_eof()
        assert await server.end() == (sent, "fin")


@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_the_end_of_one_side_reaches_the_other_as_it_was(how: str) -> None:
    async with stage() as at:
        client, server = await at.connect()
        server.send("last")
        assert (await client.message())["type"] == "last"
        if how == "reset":
            _reset(server.writer)
        else:
            server.writer.close()
        assert await client.end() == (b"", how)


async def test_a_refused_upgrade_and_its_body_pass_unchanged() -> None:
    async with stage() as at:
        refusal = b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 5\r\n\r\nlater"
        at.server.refuses_with = refusal
        client = await at.open()
        head = upgrade_request("x", "/v1/connect?a=b", {"X-Odd": "1"})
        client.writer.write(head)
        assert await client.end() == (refusal, "fin")
        assert at.server.heads == [head]
    assert at.proxy.report()["connections"][0]["status"] == 503


async def test_what_is_no_websocket_passes_as_bytes() -> None:
    async with stage() as at:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        at.server.refuses_with = answer
        client = await at.open()
        head = b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
        client.writer.write(head + b"abc")
        assert await client.end() == (answer, "fin")
        assert at.server.heads == [head]


async def test_a_client_of_a_server_that_is_not_there_is_reset() -> None:
    async with stage() as at:
        await at.server.stop()
        client = await at.open()
        client.writer.write(upgrade_request("x", "/", {}))
        assert await client.end() == (b"", "reset")


# --- One fault at a time --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_fin_and_reset_end_both_sides_instead_of_the_frame(how: str) -> None:
    async with stage(rule(how, nth=2)) as at:
        client, server = await at.connect()
        server.send("chunk", seq=1)
        server.send("other")
        assert (await client.message())["seq"] == 1
        assert (await client.message())["type"] == "other"
        server.send("chunk", seq=2)
        assert await client.end() == (b"", how)
        assert await server.end() == (b"", how)


async def test_after_a_frame_means_that_it_still_passes() -> None:
    async with stage(rule("fin", after=True)) as at:
        client, server = await at.connect()
        server.send("chunk", seq=1)
        assert (await client.message())["seq"] == 1
        assert await client.end() == (b"", "fin")


async def test_a_blackhole_takes_everything_and_keeps_both_sides_open() -> None:
    async with stage(rule("blackhole")) as at:
        client, server = await at.connect()
        server.send("chunk")
        await at.proxy.fired("it")
        # More than any buffer of the way holds: it is read, and goes nowhere.
        async with asyncio.timeout(PATIENCE):
            await _flood(client, 64)
        server.send("chunk")
        client.writer.write_eof()
        server.writer.write_eof()
        assert await client.end() == (b"", "fin")
        assert await server.end() == (b"", "fin")


@pytest.mark.parametrize("fault", ["blackhole", "stall"])
async def test_a_blackhole_and_a_stall_may_end_with_a_reset(fault: str) -> None:
    async with stage(rule(fault, ms=20)) as at:
        client, server = await at.connect()
        server.send("chunk")
        assert (await server.end())[1] == "reset"
        assert await client.end() == (b"", "reset")


async def test_a_client_that_has_left_is_noticed_though_it_is_stalled() -> None:
    stalled = {"name": "it", "fault": "stall", "direction": "to_server"}
    async with stage(stalled) as at:
        client, _ = await at.connect()
        client.send("request")
        await at.proxy.fired("it")
        client.send("request")  # nobody reads it, nor what is behind it
        client.writer.close()
        async with asyncio.timeout(PATIENCE):
            await at.proxy.vacated()


@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_a_frame_is_cut_in_its_middle(how: str) -> None:
    async with stage(rule("mid-frame", bytes=5, how=how)) as at:
        client, server = await at.connect()
        server.send("chunk", seq=1)
        wire = encode(Opcode.TEXT, b'{"type": "chunk", "seq": 1}', mask=False)
        data, ended = await client.end()
        assert ended == how
        # A reset may overtake what was written before it.
        assert data == wire[:5] or (how == "reset" and not data)


async def test_a_stall_stops_one_direction_and_holds_its_sender_back() -> None:
    async with stage(rule("stall")) as at:
        client, server = await at.connect()
        server.send("chunk")
        await at.proxy.fired("it")
        client.send("ping")
        assert (await server.message())["type"] == "ping"  # the other direction goes on
        # What the way can hold is finite: far more than that is never taken.
        flood = asyncio.create_task(_flood(server, 64))
        done, _ = await asyncio.wait({flood}, timeout=0.5)
        assert not done
        flood.cancel()
        client.close()


async def test_a_delay_keeps_the_order() -> None:
    async with stage(rule("delay", ms=50)) as at:
        client, server = await at.connect()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        server.send("chunk", seq=1)
        server.send("other")
        assert [(await client.message())["type"] for _ in range(2)] == ["chunk", "other"]
        assert loop.time() - begun >= 0.05


async def test_what_is_held_comes_when_it_is_released_by_hand() -> None:
    async with stage(rule("hold")) as at:
        client, server = await at.connect()
        server.send("chunk", seq=1)
        server.send("behind")
        await at.proxy.fired("it")
        first = asyncio.create_task(client.message())
        client.send("ping")
        assert (await server.message())["type"] == "ping"
        assert not first.done()
        at.proxy.release("it")
        assert [(await first)["type"], (await client.message())["type"]] == ["chunk", "behind"]
        with pytest.raises(ValueError, match="it holds nothing"):
            at.proxy.release("it")


async def test_what_is_held_comes_when_another_frame_passes() -> None:
    until = {"direction": "to_server", "type": "ping", "nth": 2}
    async with stage(rule("hold", until=until)) as at:
        client, server = await at.connect()
        server.send("chunk")
        await at.proxy.fired("it")
        held = asyncio.create_task(client.message())
        client.send("ping")
        await server.message()
        assert not held.done()
        client.send("ping")
        assert (await held)["type"] == "chunk"


async def test_a_client_that_goes_while_something_is_held_frees_the_server() -> None:
    async with stage(rule("hold")) as at:
        client, server = await at.connect()
        server.send("chunk")
        await at.proxy.fired("it")
        client.writer.close()
        assert await server.end() == (b"", "fin")


async def test_a_duplicate_comes_as_often_as_it_was_asked_for() -> None:
    async with stage(rule("duplicate", copies=3)) as at:
        client, server = await at.connect()
        server.send("chunk", seq=1)
        server.send("end")
        kinds = [(await client.message())["type"] for _ in range(4)]
        assert kinds == ["chunk", "chunk", "chunk", "end"]


@pytest.mark.parametrize(
    ("what", "defect"),
    [
        ("rsv", "reserved bits 100"),
        ("opcode", "a frame of opcode 3"),
        ("mask", "a masked frame"),
        ("payload", None),
        ("utf8", None),
        ("json", None),
    ],
)
async def test_a_corrupt_frame_is_damaged_in_one_way(what: str, defect: str | None) -> None:
    async with stage(rule("corrupt", what=what)) as at:
        client, server = await at.connect()
        server.send("chunk", seq=1)
        good = b'{"type": "chunk", "seq": 1}'
        frame = await client.frame()
        assert frame.defect(masked=False) == defect
        different = [one for one, other in zip(frame.payload, good, strict=True) if one != other]
        assert len(different) == (1 if what in ("payload", "utf8", "json") else 0)
        if what == "utf8":
            assert different == [0xFF]
        if what == "json":
            assert frame.payload == good[:-1] + b" "
        server.send("chunk", seq=2)
        assert (await client.message())["seq"] == 2


async def test_a_length_that_lies_takes_a_byte_of_the_next_frame() -> None:
    async with stage(rule("corrupt", what="length")) as at:
        client, server = await at.connect()
        server.send("chunk")
        server.send("next")
        assert (await client.frame()).payload == b'{"type": "chunk"}\x81'


async def test_a_sliced_frame_comes_whole_and_in_pieces() -> None:
    async with stage(rule("slice", **{"from": 1})) as at:
        client, server = await at.connect()
        for seq in range(3):
            server.send("chunk", seq=seq, data="x" * 100)
        server.writer.write_eof()
        parts = []
        async with asyncio.timeout(PATIENCE):
            while part := await client.reader.read(65_536):
                parts.append(part)
        payload = json.dumps({"type": "chunk", "seq": 2, "data": "x" * 100}).encode()
        assert b"".join(parts).endswith(encode(Opcode.TEXT, payload, mask=False))
        assert len(parts) > 10


async def test_a_throttled_frame_takes_its_time() -> None:
    async with stage(rule("throttle", bytes_per_second=20_000)) as at:
        client, server = await at.connect()
        begun = asyncio.get_running_loop().time()
        server.send("chunk", data="x" * 2_000)
        assert len((await client.message())["data"]) == 2_000
        assert asyncio.get_running_loop().time() - begun >= 0.1


async def test_every_so_manieth_frame_is_dropped() -> None:
    async with stage(rule("drop", every=3)) as at:
        client, server = await at.connect()
        for seq in range(1, 10):
            server.send("chunk", seq=seq)
            server.send("other", seq=0)
        seen = [(await client.message())["seq"] for _ in range(15)]
        assert [seq for seq in seen if seq] == [1, 2, 4, 5, 7, 8]
        assert at.proxy.report()["rules"] == {"it": 3}


# --- Which frames ---------------------------------------------------------------------------------


async def test_a_rule_is_for_its_direction_type_members_and_connection() -> None:
    drop: JsonObject = rule(
        "drop", direction="to_server", type="request", match={"id": "b"}, connection=2
    )
    async with stage({**drop, "from": 1}) as at:
        for number in (1, 2):
            client, server = await at.connect()
            for identity in ("a", "b", "c"):
                client.send("request", id=identity)
                client.send("attach", id=identity)
            server.send("request", id="b")
            assert (await client.message())["id"] == "b"
            wanted = ["a", "a", "b", "b", "c", "c"] if number == 1 else ["a", "a", "b", "c", "c"]
            assert [(await server.message())["id"] for _ in wanted] == wanted


async def test_control_frames_and_fragments_have_types_of_their_own() -> None:
    rules: list[JsonObject] = [
        {"name": "ping", "direction": "to_server", "type": "(ping)", "fault": "drop"},
        {"name": "part", "direction": "to_server", "type": "request", "nth": 2, "fault": "drop"},
        {"name": "binary", "direction": "to_server", "type": "(binary)", "fault": "drop"},
    ]
    async with stage(*rules) as at:
        client, server = await at.connect()
        client.write(Opcode.PING, b"")
        client.write(Opcode.TEXT, b'{"type": "request", "a', fin=False)
        client.write(Opcode.PONG, b"")
        client.write(Opcode.CONTINUATION, b"b", fin=False)
        client.write(Opcode.CONTINUATION, b'": 1}')
        client.write(Opcode.BINARY, b"")
        client.write(Opcode.CLOSE, b"")
        came = [(await server.frame()).opcode for _ in range(4)]
        assert came == [Opcode.TEXT, Opcode.PONG, Opcode.CONTINUATION, Opcode.CLOSE]


async def test_faults_of_several_rules_meet_in_one_frame() -> None:
    rules: list[JsonObject] = [
        {**rule("duplicate"), "name": "twice"},
        {**rule("slice", bytes=7), "name": "pieces"},
        {**rule("reset", after=True, nth=2), "name": "end"},
    ]
    async with stage(*rules) as at:
        client, server = await at.connect()
        server.send("chunk", seq=1)
        assert [(await client.message())["seq"] for _ in range(2)] == [1, 1]
        server.send("chunk", seq=2)
        assert (await client.end())[1] == "reset"
        assert [fault["rule"] for fault in at.proxy.report()["faults"]] == [
            "twice",
            "pieces",
            "end",
        ]


async def test_a_rule_may_join_while_frames_pass() -> None:
    async with stage() as at:
        client, server = await at.connect()
        server.send("chunk", seq=1)
        await client.message()
        (late,) = parse_rules([rule("drop")])
        at.proxy.add(late)
        with pytest.raises(ValueError, match="there is a rule it already"):
            at.proxy.add(late)
        server.send("chunk", seq=2)
        server.send("chunk", seq=3)
        assert (await client.message())["seq"] == 3


@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_a_connection_is_cut_by_hand(how: str) -> None:
    async with stage() as at:
        with pytest.raises(ValueError, match="no connection to cut"):
            at.proxy.cut(how)
        client, server = await at.connect()
        await at.proxy.connected(1)
        at.proxy.cut(how)
        assert await client.end() == (b"", how)
        assert await server.end() == (b"", how)


# --- The seed, and what must have happened --------------------------------------------------------


async def _by_chance(seed: int) -> list[int]:
    async with stage(rule("drop", probability=0.4), seed=seed) as at:
        client, server = await at.connect()
        for seq in range(60):
            server.send("chunk", seq=seq)
        server.send("end", seq=-1)
        seen = []
        while (seq := (await client.message())["seq"]) >= 0:
            seen.append(seq)
        return seen


async def test_chance_is_the_seed_and_nothing_else() -> None:
    first = await _by_chance(7)
    assert first == await _by_chance(7)
    assert first != await _by_chance(8)
    assert 20 < len(first) < 50


LOTS: JsonObject = {
    "random": {
        "requests_per_fault": 5,
        "kinds": [
            {"fault": "delay", "ms": 1},
            {"fault": "duplicate"},
            {"fault": "slice", "bytes": 3},
            {"fault": "corrupt"},
            {"fault": "throttle", "bytes_per_second": 100_000},
            {"fault": "drop"},
        ],
    }
}


async def _lots(seed: int, requests: int) -> JsonObject:
    async with stage(plan=parse_plan(LOTS), seed=seed) as at:
        client, server = await at.connect()
        client.send("hello")
        server.send("welcome")
        for number in range(requests):
            client.send("request", id=str(number))
            server.send("response", id=str(number))
            # One answer behind each, so that both directions keep their pace.
            client.write(Opcode.PING, b"%d" % number)
            while (await server.frame()).payload != b"%d" % number:
                pass
            server.write(Opcode.PING, b"%d" % number)
            while (await client.frame()).payload != b"%d" % number:
                pass
        return at.proxy.report()


async def test_of_five_requests_one_brings_a_fault_and_every_kind_comes() -> None:
    report = await _lots(7, 60)
    assert report["passed"], report["failed"]
    made = [(fault["fault"], fault["direction"], fault["frame"]) for fault in report["faults"]]
    assert len(made) >= 60 // 5
    assert {fault for fault, _, _ in made} == {kind["fault"] for kind in LOTS["random"]["kinds"]}
    again = await _lots(7, 60)
    assert made == [(one["fault"], one["direction"], one["frame"]) for one in again["faults"]]
    other = await _lots(8, 60)
    assert made != [(one["fault"], one["direction"], one["frame"]) for one in other["faults"]]


async def test_too_few_requests_for_every_kind_fail_the_run() -> None:
    report = await _lots(7, 10)
    assert not report["passed"]
    assert sum("was never drawn" in text for text in report["failed"]) >= 4


async def test_a_rule_that_never_fired_fails_the_run() -> None:
    fires, never = rule("drop"), {**rule("reset", nth=2), "name": "never"}
    async with stage(fires, never) as at:
        client, server = await at.connect()
        server.send("chunk")
        server.send("end")
        assert (await client.message())["type"] == "end"
    report = at.proxy.report()
    assert (report["passed"], report["failed"]) == (False, ["never never fired"])
    assert report["rules"] == {"it": 1, "never": 0}


async def test_a_frame_that_is_too_large_to_hold_ends_the_connection_and_fails_the_run() -> None:
    async with stage(max_frame_bytes=1_000) as at:
        client, server = await at.connect()
        client.write(Opcode.BINARY, bytes(1_001))
        assert (await server.end())[1] == "reset"
        assert (await client.end())[1] == "reset"
    assert at.proxy.report()["failed"] == ["connection 1, to_server: a frame of 1001 bytes"]


async def test_the_report_tells_each_fault_and_each_connection() -> None:
    record: list[JsonObject] = []
    async with stage(rule("mid-frame", bytes=4), seed=3, record=record) as at:
        client, server = await at.connect()
        client.send("hello")
        await server.message()
        server.send("chunk", seq=1)
        await client.end()
    report = at.proxy.report()
    assert report["faults"] == [
        {
            "rule": "it",
            "fault": "mid-frame",
            "connection": 1,
            "direction": "to_client",
            "frame": 1,
            "type": "chunk",
            "bytes": 4,
            "of": 29,
        }
    ]
    assert report["kinds"] == {"mid-frame": 1}
    assert report["connections"] == [
        {
            "connection": 1,
            "status": 101,
            "ended": "mid-frame of it",
            "frames": {"to_server": {"hello": 1}, "to_client": {"chunk": 1}},
        }
    ]
    assert [(one["connection"], one["what"], one["message"]["type"]) for one in record] == [
        ("proxy.1", "to_server", "hello"),
        ("proxy.1", "to_client", "chunk"),
        ("proxy.1", "fault", "(mid-frame)"),
    ]
    assert json.loads(json.dumps(report)) == report


async def _flood(end: End, frames: int) -> None:
    for _ in range(frames):
        end.write(Opcode.BINARY, bytes(1 << 20))
        await end.writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
