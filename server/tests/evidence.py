# SPDX-License-Identifier: Apache-2.0
"""Everything that a run left behind, and a search in it for pieces of tokens."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

PIECE = 12
"""So many characters of a token in a row are a leak of it."""


@dataclass
class Evidence:
    """Texts of a run by where they were found."""

    found: dict[str, bytes] = field(default_factory=dict)

    def add(self, place: str, data: bytes | str) -> None:
        """Takes something down; what is there of the place is kept."""
        data = data.encode() if isinstance(data, str) else data
        self.found[place] = self.found.get(place, b"") + b"\n" + data

    def add_files(self, folder: Path) -> None:
        """Takes down every file below a folder, its name too."""
        for path in sorted(folder.rglob("*")):
            self.add("names of files", str(path.relative_to(folder)))
            if path.is_file():
                self.add(f"file {path.relative_to(folder)}", path.read_bytes())

    def places_of(self, token: str) -> set[str]:
        """Where any piece of this token is, in any of the ways in which it may be written."""
        pieces = set(pieces_of(token))
        return {
            place for place, data in self.found.items() if any(piece in data for piece in pieces)
        }


def pieces_of(token: str) -> Iterator[bytes]:
    """What gives a token away: its parts, cut small, as they are and as they may be encoded."""
    yield token.encode()
    for part in token.split("."):
        yield from _cut(part.encode())
        try:
            raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        except ValueError:
            raw = b""
        if part == token.rpartition(".")[2] and len(raw) >= PIECE:
            # A signature as bytes; what the other parts decode to is no secret.
            yield from _cut(raw)
            yield from _cut(raw.hex().encode())
    percent = "".join(f"%{byte:02X}" for byte in token.encode())
    yield from (percent.encode()[at : at + 3 * PIECE] for at in range(0, len(percent), 3 * PIECE))
    yield quote(token, safe="").encode()
    for shift in range(3):
        # Whatever stood before it in what was encoded moved it by none, one or two bytes.
        encoded = base64.b64encode(b"\0" * shift + token.encode())[4:-4]
        yield from _cut(encoded)
        yield from _cut(encoded.translate(bytes.maketrans(b"+/", b"-_")))


def _cut(text: bytes) -> Iterator[bytes]:
    """Pieces of which any run of twice the length has one whole, and both ends."""
    if len(text) >= PIECE:
        yield text[-PIECE:]
        yield from (text[at : at + PIECE] for at in range(0, len(text) - PIECE + 1, PIECE))
