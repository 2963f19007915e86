# SPDX-License-Identifier: Apache-2.0
"""What is said between processes, and how it is written into datagrams.

A ring is a tuple that begins with its kind; a datagram is the JSON array of one or more of them:

    [["changed", tenant_id, sub, id], ["work"]]

Kinds that are not known are passed over, so that two versions of the program understand each other.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator

from longcall_server.bus.base import Announcement, Audience, Bus
from longcall_server.stores.base import Owner, RequestKey, StoredProgress

MAX_DATAGRAM = 65_536
"""The most bytes of one datagram; one fits into the send buffer of any system."""
MAX_BODY = 8_192
"""The most characters of a progress report that travels: with four bytes each it has room."""

Ring = tuple[str | int | None, ...]
WORK: Ring = ("work",)
HELLO: Ring = ("hello",)
"""Somebody new is in the folder."""


def changed(key: RequestKey) -> Ring:
    """The log or the state of a request has something new."""
    return ("changed", *_names(key))


def cancel(key: RequestKey) -> Ring:
    """A request's cancel was stored."""
    return ("cancel", *_names(key))


def progress(key: RequestKey, report: StoredProgress) -> Ring:
    """Live progress."""
    return ("progress", *_names(key), report.attempt, report.version, report.body)


def announce(announcement: Announcement) -> Ring:
    """An announcement; its name keeps it apart from all others."""
    to, name = announcement.audience, secrets.token_hex(8)
    return ("announce", name, to.tenant_id, to.sub, to.connection_id, announcement.frame)


def subject(ring: Ring) -> Ring:
    """What a ring is about: of two with the same subject only the newer one is worth sending."""
    return ring[:4]


def encode(ring: Ring) -> bytes:
    """A ring as a part of a datagram."""
    # Names come from tokens, which may hold what UTF-8 cannot.
    text = json.dumps(ring, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def datagram(parts: list[bytes]) -> bytes:
    """Puts encoded rings together."""
    return b"[" + b",".join(parts) + b"]"


def ring_all(received: bytes, bus: Bus, on_hello: Callable[[], None]) -> None:
    """Rings here for everything in a datagram; raises `ValueError` for what is none."""
    for ring in _parse(received):
        match ring:
            case ["changed", str(tenant_id), str(sub), str(id)]:
                bus.request_changed(_key(tenant_id, sub, id))
            case [
                "progress",
                str(tenant_id),
                str(sub),
                str(id),
                int(attempt),
                int(version),
                str(body),
            ]:
                report = StoredProgress(attempt, version, body)
                bus.progress_reported(_key(tenant_id, sub, id), report)
            case ["cancel", str(tenant_id), str(sub), str(id)]:
                bus.cancel_requested(_key(tenant_id, sub, id))
            case [
                "announce",
                str(),
                str() | None as tenant_id,
                str() | None as sub,
                str() | None as connection_id,
                str(frame),
            ]:
                bus.announce(Announcement(frame, Audience(tenant_id, sub, connection_id)))
            case ["work"]:
                bus.work_available()
            case ["hello"]:
                on_hello()


def _parse(received: bytes) -> Iterator[object]:
    if len(received) > MAX_DATAGRAM:
        raise ValueError("longer than any datagram of ours")
    try:
        found = json.loads(received.decode("utf-8", "surrogatepass"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, list):
        raise ValueError("not an array")
    yield from found


def _names(key: RequestKey) -> tuple[str, str, str]:
    return key.owner.tenant_id, key.owner.sub, key.id


def _key(tenant_id: str, sub: str, id: str) -> RequestKey:
    return RequestKey(Owner(tenant_id, sub), id)
