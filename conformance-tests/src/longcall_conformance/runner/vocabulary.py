# SPDX-License-Identifier: Apache-2.0
"""The words of cases: verbs of steps, kinds of checks, and what each of them takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """What a verb or a check takes; `defines` and `uses` are arguments that name something."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    defines: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()


_SUBMIT = Word(
    ("client", "handle", "action"),
    ("payload", "request_id", "deadline_ms", "delay_ms", "priority", "metadata"),
    defines=("handle",),
    uses=("client",),
)

VERBS: dict[str, Word] = {
    # The SDK under test, through its driver.
    "driver.connect": Word(("as",), ("url", "token", "tuning"), defines=("as",)),
    "driver.submit": _SUBMIT,
    "driver.call": _SUBMIT,
    "driver.attach": Word(
        ("client", "handle", "request_id"), defines=("handle",), uses=("client",)
    ),
    "driver.cancel": Word(("handle",), ("reason",), uses=("handle",)),
    "driver.detach": Word(("handle",), uses=("handle",)),
    "driver.snapshot": Word(("handle",), ("match", "bind"), uses=("handle",)),
    "driver.list": Word(("client",), ("status", "action", "match", "bind"), uses=("client",)),
    "driver.token": Word(("client",), ("token", "fail", "reason"), uses=("client",)),
    "driver.event": Word(("ev",), ("handle", "client", "match", "bind"), uses=("handle", "client")),
    "driver.close": Word(("client",), uses=("client",)),
    # The scripted server.
    "peer.accept": Word(("as",), defines=("as",)),
    "peer.refuse": Word(("status",), ("headers",)),
    "peer.expect": Word(("on", "type"), ("match", "absent", "bind", "reply", "skip"), uses=("on",)),
    "peer.send": Word(("on", "message"), uses=("on",)),
    "peer.send_text": Word(("on", "text"), uses=("on",)),
    "peer.drop": Word(("on", "how"), uses=("on",)),
    "peer.expect_end": Word(("on",), ("code",), uses=("on",)),
    # The hand-made client of a server under test.
    "raw.connect": Word(("as",), ("subprotocol", "headers"), defines=("as",)),
    "raw.refused": Word(("status",), ("subprotocol", "headers")),
    "raw.send": Word(("on", "message"), uses=("on",)),
    "raw.send_text": Word(("on", "text"), uses=("on",)),
    "raw.send_bytes": Word(("on", "hex"), uses=("on",)),
    "raw.send_large": Word(("on", "bytes"), uses=("on",)),
    "raw.send_binary": Word(("on", "text"), uses=("on",)),
    "raw.expect": Word(("on", "type"), ("match", "absent", "bind", "skip"), uses=("on",)),
    "raw.expect_end": Word(("on", "code"), uses=("on",)),
    "raw.drop": Word(("on", "how"), uses=("on",)),
    # The process of a server under test.
    "server.kill": Word(("how",)),
    "server.start": Word(),
}

CHECKS: dict[str, Word] = {
    # Driver events, in order: `select` is a member of each.
    "events": Word(
        ("ev",), ("handle", "client", "select", "equals", "count", "at_least", "after", "match")
    ),
    # Messages that the scripted server (or a raw connection) received.
    "frames": Word(("type",), ("on", "match", "count", "at_least", "select", "equals")),
    # Sockets of the SDK at the scripted server.
    "connections": Word((), ("open", "most_open", "total")),
    # The rows and the summary of a report, counted anew from its source file.
    "report": Word(("handle", "fixture", "group_by")),
}

PREDEFINED: tuple[str, ...] = (
    "peer.url",
    "server.url",
    "run",
    "welcome",
    *(
        f"jwt.{name}"
        for name in (
            "alice", "bob", "mallory", "powerless", "wrong_key", "expired", "alg_none",
            "alg_hs512", "no_exp", "no_tenant", "no_sub", "garbage",
        )
    ),
)  # fmt: skip
"""Variables that every case has: urls, tokens, a whole welcome, a text unique to this play."""
