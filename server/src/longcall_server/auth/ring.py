# SPDX-License-Identifier: Apache-2.0
"""All keys of a server, wherever they come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from longcall_server.auth.keys import Algorithm, Key


class KeyRing:
    """Finds the keys that a token may be signed with."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys = tuple(keys)

    @property
    def algorithms(self) -> frozenset[Algorithm]:
        """What the keys allow."""
        return frozenset(key.algorithm for key in self._keys)

    def find(self, algorithm: Algorithm, kid: str | None) -> Sequence[Key]:
        """The keys to try: those of that name, else those without one; all for a nameless token."""
        fitting = [key for key in self._keys if key.algorithm is algorithm]
        if kid is None:
            return fitting
        named = [key for key in fitting if key.kid == kid]
        return named or [key for key in fitting if key.kid is None]
