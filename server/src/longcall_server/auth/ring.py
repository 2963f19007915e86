# SPDX-License-Identifier: Apache-2.0
"""All keys of a server, wherever they come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from longcall_server.auth.files import KeyFile
from longcall_server.auth.jwks import Jwks
from longcall_server.auth.keys import PUBLIC_KEY_ALGORITHMS, Algorithm, Key


class KeyRing:
    """Finds the keys that a token may be signed with: fixed ones, those of files, those of a URL.

    `start` and `close` begin and end what keeps them new.
    """

    def __init__(
        self, keys: Iterable[Key] = (), *, files: Sequence[KeyFile] = (), jwks: Jwks | None = None
    ) -> None:
        self._fixed = tuple(keys)
        self._files = files
        self._jwks = jwks

    @property
    def algorithms(self) -> frozenset[Algorithm]:
        """What the keys allow; those of a file or URL may become others of their sort."""
        found = {key.algorithm for key in self._keys()}
        of_files = {key.algorithm for file in self._files for key in file.keys}
        if self._jwks is not None or of_files & PUBLIC_KEY_ALGORITHMS:
            found |= PUBLIC_KEY_ALGORITHMS
        return frozenset(found)

    @property
    def has_keys(self) -> bool:
        """Whether there is any: those of a URL may still have to come."""
        return any(True for _ in self._keys())

    def find(self, algorithm: Algorithm, kid: str | None) -> Sequence[Key]:
        """The keys to try: those of that name, else those without one; all for a nameless token."""
        fitting = [key for key in self._keys() if key.algorithm is algorithm]
        if kid is None:
            return fitting
        named = [key for key in fitting if key.kid == kid]
        return named or [key for key in fitting if key.kid is None]

    def may_bring(self, algorithm: Algorithm, kid: str | None) -> bool:
        """Whether `renew` could bring a key that is not there: a URL has public ones only."""
        return (
            self._jwks is not None
            and algorithm in PUBLIC_KEY_ALGORITHMS
            and not self._jwks.has(kid)
        )

    async def renew(self, kid: str | None) -> bool:
        """Waits for newer keys, see `Jwks.renew`; False: it was missed a moment ago."""
        return self._jwks is not None and await self._jwks.renew(kid)

    def missed(self, kid: str | None) -> None:
        """`renew` did not bring it."""
        if self._jwks is not None:
            self._jwks.missed(kid)

    async def start(self) -> None:
        """Begins to keep the keys new; waits for nothing."""
        for source in self._sources():
            await source.start()

    async def close(self) -> None:
        """Ends that."""
        for source in self._sources():
            await source.close()

    def _keys(self) -> Iterator[Key]:
        yield from self._fixed
        for source in self._sources():
            yield from source.keys

    def _sources(self) -> Iterator[KeyFile | Jwks]:
        yield from self._files
        if self._jwks is not None:
            yield self._jwks
