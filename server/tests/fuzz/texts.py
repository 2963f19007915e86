# SPDX-License-Identifier: Apache-2.0
"""Texts that clients might send, for hypothesis: nearly right, and wrong in one or two places."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(
    [
        *("type", "id", "request_id", "action", "payload", "metadata", "deadline_ms", "delay_ms"),
        *("priority", "callback_url", "resend", "traceparent", "after_seq", "follow", "reason"),
        *("status", "sub", "limit", "cursor", "nonce", "token", "client", "name", "version", "x"),
        *("", "a/b", "~", "[key]", "é", "\x00", "\ud800"),
    ]
)
TYPES = st.sampled_from(
    [
        *("hello", "refresh", "request", "attach", "detach", "cancel", "list", "ping", "pong"),
        *("welcome", "subscribe", "Request", "", "x" * 64, "x" * 65),
    ]
)
IDS = st.sampled_from(["r1", "a.b:c_-", ".", "..", "...", "a/b", "é", "", "a\n", "x" * 128])
NUMBERS = st.sampled_from(
    [
        *(
            "0",
            "-0",
            "1",
            "-1",
            "5",
            "10",
            "200",
            "201",
            "1.0",
            "1e0",
            "1E1",
            "0.5",
            "-0.0",
            "1e-9",
        ),
        *("9007199254740991", "9007199254740992", "-9007199254740993", "10000000000000000", "1e15"),
        *(
            "1e308",
            "1e309",
            "-1E+0400",
            "0.1e-400",
            "1" * 309,
            "1" * 310 + ".5",
            "1" * 5000,
            "2e16",
        ),
        *("123456789012345678.5", "4.9e-324", "2.2250738585072011e-308", "01", "1.", "+1", "NaN"),
    ]
)
STRINGS = st.one_of(
    IDS.map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.text(max_size=8).map(json.dumps),
    st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(
        [
            *('"\\ud800"', '"\\uDFFF"', '"\\ud83d\\ude00"', '"\\\\ud800"', '"[[[[[[[[[["'),
            *(
                '"\\"{{{{{{{{{"',
                '"1e999"',
                '"NaN"',
                '"' + "é" * 513 + '"',
                '"' + "é" * 601 + '"',
                '"https://x/"',
                '"\\x"',
            ),
        ]
    ),
)


def _object(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in members) + "}"


VALUES: st.SearchStrategy[str] = st.recursive(
    NUMBERS | STRINGS | st.sampled_from(["null", "true", "false", "[]", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(NAMES, inner), max_size=4).map(_object)
        | inner.map(lambda item: f"[{','.join([item] * 15)}]")
        | inner.map(lambda item: "[" * 7 + item + "]" * 7)
    ),
    max_leaves=12,
)

_SOFTWARE: Any = {"name": "longcall-python", "version": "0.1.0"}
GOOD: dict[str, dict[str, Any]] = {
    "hello": {"token": "abc.def.ghi", "client": _SOFTWARE},
    "refresh": {"token": "abc.def.ghi"},
    "request": {
        "id": "r1",
        "action": "echo",
        "payload": {"n": [1, 2.5, None, "é"]},
        "metadata": {"k": "v"},
        "deadline_ms": 5000,
        "delay_ms": 0,
        "priority": 5,
        "callback_url": "https://example.org/hook",
        "resend": True,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    },
    "attach": {"request_id": "r1", "after_seq": 0, "follow": True},
    "detach": {"request_id": "r1"},
    "cancel": {"request_id": "r1", "reason": "typo"},
    "list": {
        "id": "l1",
        "status": ["queued"],
        "action": "echo",
        "sub": "bob",
        "limit": 5,
        "cursor": "c",
    },
    "ping": {"nonce": "n"},
    "pong": {"nonce": "n"},
}
"""A message of each type with every member."""


@st.composite
def messages(draw: st.DrawFn) -> str:
    """A message with members left out, put in, repeated, in another order, or of another value."""
    kind = draw(st.sampled_from(list(GOOD)))
    members = [("type", json.dumps(kind))]
    members += [(key, json.dumps(value, ensure_ascii=False)) for key, value in GOOD[kind].items()]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(members)))
        match draw(st.sampled_from(["omit", "change", "add", "repeat", "type"])):
            case "omit":
                del members[at : at + 1]
            case "change" if at < len(members):
                members[at] = (members[at][0], draw(VALUES))
            case "repeat" if at < len(members):
                members.append((members[at][0], draw(VALUES)))
            case "type":
                members.insert(at, ("type", json.dumps(draw(TYPES))))
            case _:
                members.insert(at, (draw(NAMES), draw(VALUES)))
    if draw(st.booleans()):
        members = draw(st.permutations(members))
    return _object(members)


@st.composite
def torn(draw: st.DrawFn) -> bytes:
    """The bytes of a message, flipped, cut or joined with others."""
    data = bytearray(draw(messages()).encode("utf-8", "surrogatepass"))
    at = draw(st.integers(0, len(data)))
    match draw(st.sampled_from(["flip", "cut", "insert", "splice"])):
        case "flip" if at < len(data):
            data[at] = draw(st.integers(0, 255))
        case "cut":
            del data[at:]
        case "insert":
            data[at:at] = draw(st.binary(max_size=4))
        case _:
            data[at:] = draw(messages()).encode("utf-8", "surrogatepass")[at:]
    return bytes(data)


TEXTS: st.SearchStrategy[bytes] = st.one_of(
    messages().map(lambda text: text.encode("utf-8", "surrogatepass")),
    torn(),
    VALUES.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=64),
)


# --- Scripts of a session -------------------------------------------------------------------------

_ONE_LINE = TEXTS.map(lambda data: data.replace(b"\n", b" "))
_STEPS = st.one_of(
    _ONE_LINE.map(lambda text: b"> " + text),
    st.sampled_from(list(GOOD)).map(
        lambda kind: b"> " + json.dumps({"type": kind, **GOOD[kind]}).encode()
    ),
    st.sampled_from(
        [
            *(
                b"y 1 +3600000",
                b"y 2 +3600000",
                b"y 1 +1000",
                b"y 1 -1",
                b"n",
                b"u",
                b"t",
                b"t",
                b"g",
            ),
            *(b"a", b"o", b"x", b"+ 1", b"+ 999", b"+ 10000", b"+ 25000", b"- 5000", b"+ 3600000"),
        ]
    ),
)
_HEADS = st.sampled_from([b"60 5", b"6000 3", b"1 1 token", b"100000 100 token", b""])
_OPENINGS = st.sampled_from(
    [b"", b'> {"type":"hello","token":"t"}\ny 1 +3600000', b'> {"type":"hello"}\ny 1 +60000']
)
SCRIPTS: st.SearchStrategy[bytes] = st.builds(
    lambda head, opening, steps: b"\n".join(filter(None, [head, opening, *steps])),
    _HEADS,
    _OPENINGS,
    st.lists(_STEPS, max_size=12),
)
