# SPDX-License-Identifier: Apache-2.0
"""What a message of 1 MiB that was made for it costs in memory, before it is taken or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Final

import pytest

from longcall_server.config import load_settings
from longcall_server.core.codec import MessageBounds, decode_client_message
from longcall_server.core.errors import MessageError
from longcall_server.core.messages import ClientMessage
from longcall_server.server import protocol_limits

BOUNDS: Final = MessageBounds.of(protocol_limits(load_settings()))
MIB: Final = 1 << 20
HELD: Final = 12 * MIB
"""What the objects of one message may take while it is decided."""
PEAK_MIB: Final = 128
"""What a process may grow by, in MiB, while it looks at one message: most of it for the list of all
that pydantic finds wrong with it."""

_BEGIN: Final = '{"type":"request","id":"r1","action":"echo","payload":'


def _filled(item: str, values: int | None, begin: str = f"{_BEGIN}[", end: str = "]}") -> str:
    """A message that is full of something, as far as the bytes and the `values` go."""
    count = (MIB - len(begin) - len(end)) // (len(item) + 1)
    if values is not None:
        each = json.dumps(json.loads(item)).count("[") if "[" in item else 1
        count = min(count, (values - 5) // max(1, each))
    return begin + ",".join([item] * count) + end


def hostile(values: int | None) -> dict[str, str]:
    """Messages of few bytes and many objects."""
    members = min(90_000, values - 5 if values is not None else 90_000)
    keys = ",".join(f'"{number:x}":1' for number in range(members))
    return {
        "empty arrays": _filled("[]", values),
        "arrays in arrays": _filled("[" * 60 + "]" * 60, values),
        "empty objects": _filled("{}", values),
        "small objects": _filled('{"":0}', None if values is None else values // 2),
        "integers": _filled("1", values),
        "fractions": _filled("1.5", values),
        "keys": f"{_BEGIN}{{{keys}}}}}",
        "keys of metadata": f'{_BEGIN}0,"metadata":{{{keys}}}}}',
        "integers in a bad message": _filled("1", values, _BEGIN.replace('"echo"', "7") + "["),
        "integers before one too large": _filled("1", values, end=",1e400]}"),
        "one string": f'{_BEGIN}"{"x" * (MIB - 100)}"}}',
        "escapes": f'{_BEGIN}"{chr(92)}u0041{(chr(92) + "n") * 500_000}"}}',
        "opening brackets": "[" * MIB,
        "quotes": '"' * MIB,
    }


def _taken(text: str, bounds: MessageBounds) -> ClientMessage | None:
    try:
        return decode_client_message(text, bounds)
    except MessageError:
        return None


def _held(text: str, bounds: MessageBounds) -> int:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        message = _taken(text, bounds)
        held = tracemalloc.get_traced_memory()[0] - before
        del message
        return held
    finally:
        tracemalloc.stop()


def test_without_a_bound_on_the_values_a_message_would_hold_many_times_its_size() -> None:
    unbounded = MessageBounds(BOUNDS.max_bytes, BOUNDS.max_depth)
    assert _held(hostile(None)["arrays in arrays"], unbounded) > 2 * HELD


@pytest.mark.slow
@pytest.mark.clause("2.3.16")
@pytest.mark.parametrize("name", hostile(1000))
def test_no_message_holds_more_than_the_bound(name: str) -> None:
    for values in (BOUNDS.max_values, None):
        text = hostile(values)[name]
        assert len(text.encode()) <= BOUNDS.max_bytes
        assert _held(text, BOUNDS) <= HELD


@pytest.mark.slow
@pytest.mark.clause("2.3.16")
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's peak of RSS")
def test_no_message_makes_a_process_grow_by_more_than_the_bound() -> None:
    done = subprocess.run([sys.executable, __file__], capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    grown = json.loads(done.stdout)
    assert len(grown) == 2 * len(hostile(1000))
    assert {name: size for name, size in grown.items() if size > PEAK_MIB} == {}


def _peaks_mib() -> dict[str, int]:
    """By how much a process grows at most while it looks at each of the messages.

    Nothing is traced there, and each message has a process of its own: what one has freed, another
    would find.
    """
    _taken('{"type":"ping"}', BOUNDS)
    grown = {}
    for values in (BOUNDS.max_values, None):
        for name, text in hostile(values).items():
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.write(writing, str(_peak_mib(text)).encode())
                os._exit(0)
            os.close(writing)
            with os.fdopen(reading) as answer:
                grown[f"{name}, {values}"] = int(answer.read())
            os.waitpid(child, 0)
    return grown


def _peak_mib(text: str) -> int:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status_kib("VmRSS")
    _taken(text, BOUNDS)
    return (_status_kib("VmHWM") - before) // 1024


def _status_kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    print(json.dumps(_peaks_mib()))
