# SPDX-License-Identifier: Apache-2.0
"""First inputs of the corpora: clients' texts of schema/vectors and of the conformance cases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from fuzz.texts import GOOD

ROOT: Final = Path(__file__).parents[3]
MAX_BYTES: Final = 4096
"""Longer inputs are left to the vectors themselves."""

_OPENING: Final = '6000 20\n> {"type":"hello","token":"t"}\ny 1 +3600000\n'
_REFRESH: Final = '> {"type":"refresh","token":"u"}'
_LIVES: Final = [
    '60 2\n> {"type":"hello","token":"t"}\nn',
    '60 2 token\n> {"type":"hello"}\ng\ny 1 +1000\nt\nt',
    '60 2\n> {"type":"hello","token":"t"}\n+ 10000\ny 1 +1000',
    f"{_OPENING}{_REFRESH}\nt\ny 1 +7200000\nt\nt\nt\nt",
    f"{_OPENING}{_REFRESH}\ny 2 +7200000\n{_REFRESH}\nn",
    '60 2\n> {"type":"hello","token":"t"}\no\nu',
    f"{_OPENING}o\n{_REFRESH}\no\nu\no\nx\no",
    f'{_OPENING}t\na\nt\n> {{"type":"pong"}}\nt\nt\nt\nt',
    f"{_OPENING}g\nx\nt\n> x",
    "1 1\n"
    + '> {"type":"hello","token":"t"}\ny 1 +3600000\n'
    + '> {"type":"request","id":"r1","action":"echo"}\n' * 14,
    f'{_OPENING}> {{"type":"ping"}}\n- 5000\n> {{"type":"ping","nonce":"n"}}\n+ 60000\nt',
]
"""What no single text shows of a session: answers, time, rates, and the end."""


def seeds(target: str) -> set[bytes]:
    """The inputs."""
    texts = {text for text in _texts() if len(text.encode("utf-8", "surrogatepass")) < MAX_BYTES}
    if target == "codec":
        return {text.encode("utf-8", "surrogatepass") for text in texts}
    # Any text is good for a session too, behind a welcome or instead of one.
    lines = [text for text in sorted(texts) if "\n" not in text]
    scripts = {f"{_OPENING}> {text}" for text in lines}
    scripts |= {f"60 5\n> {text}" for text in lines if '"hello"' in text}
    return {script.encode("utf-8", "surrogatepass") for script in scripts} | {
        life.encode() for life in _LIVES
    }


def _texts() -> Iterator[str]:
    long = '{"type":"list","id":"l1","x":%s}'
    yield from (long % f'"{"x" * length}"' for length in (600, 601))
    yield from (long % f"[{','.join('1' * count)}]" for count in (44, 45))
    yield from (long % f'{{"{"k" * length}":1}}' for length in (600, 601))
    for kind, members in GOOD.items():
        yield json.dumps({"type": kind, **members}, separators=(",", ":"))
    for path in (ROOT / "schema" / "vectors").glob("*.json"):
        for vector in json.loads(path.read_text()):
            if vector["direction"] == "client":
                yield vector["text"]
    for path in (ROOT / "conformance-tests" / "cases").rglob("*.yaml"):
        yield from _sent(yaml.safe_load(path.read_text()))


def _sent(value: Any) -> Iterator[str]:
    """What a case sends as it is: messages, and texts that look like one."""
    if isinstance(value, dict):
        if isinstance(value.get("type"), str):
            yield json.dumps(value, separators=(",", ":"), default=str)
        for inner in value.values():
            yield from _sent(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _sent(inner)
    elif isinstance(value, str) and value[:1] in ("{", "["):
        yield value
