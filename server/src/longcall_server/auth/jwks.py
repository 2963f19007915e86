# SPDX-License-Identifier: Apache-2.0
"""Keys that an identity provider publishes at a URL (RFC 7517), fetched and kept (PROTOCOL 3.1.9).

One task fetches, so that there is never more than one fetch in flight; everybody else asks it and
waits for its rounds. It fetches in the background before the keys get old, and early when a token
names a key that is not among them. However many such tokens come, there is time between two
fetches. Keys that were fetched stay in use until a later fetch brings others: an answer that is
late, broken or empty takes nothing away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from longcall_server.auth.errors import KeyProblem, KeysUnavailable
from longcall_server.auth.keys import Key, jwk_set_keys

MOST_ABSENT: Final = 1024
"""Names of keys that are remembered as absent."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When keys are fetched, and who waits how long for it; in seconds."""

    refresh_s: float = 300.0
    """How old keys may get before they are fetched again; a tenth less at random."""
    floor_s: float = 5.0
    """From a fetch that succeeded to the next one, whoever wants it."""
    retry_first_s: float = 1.0
    retry_most_s: float = 10.0
    """Between fetches that fail: the wait doubles from the first to the most; half is random."""
    fetch_timeout_s: float = 5.0
    patience_s: float = 8.0
    """How long a token waits for its key: less than clients for their welcome (PROTOCOL 4.2.10)."""
    absent_s: float = 5.0
    """How long a key that a fetch did not bring is not looked for again."""


class Jwks:
    """The keys of one URL.

    `fetch` gets the document, or raises `KeyProblem`; `name` says in the log where from. Nothing is
    fetched before `start`.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        name: str,
        pace: Pace | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._fetch = fetch
        self._name = name
        self._pace = pace or Pace()
        self._jitter = jitter
        self._keys: tuple[Key, ...] = ()
        self._absent: dict[str | None, float] = {}
        # Fetches are numbered from 1: how many began, and the last that succeeded and failed.
        self._began = 0
        self._succeeded = 0
        self._failed = 0
        self._failures = 0
        self._is_wanted = False
        self._may_fetch_at = 0.0
        self._refresh_at = 0.0
        self._stirred = asyncio.Event()
        self._round_ends = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def keys(self) -> Sequence[Key]:
        """Those of the last fetch that succeeded."""
        return self._keys

    async def start(self) -> None:
        """Begins to fetch; does not wait for it."""
        self._task = asyncio.create_task(self._run(), name="longcall jwks")

    async def close(self) -> None:
        """Ends what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def has(self, kid: str | None) -> bool:
        """Whether there is a key of this name; none is called None."""
        return kid is not None and any(key.kid == kid for key in self._keys)

    async def renew(self, kid: str | None) -> bool:
        """Waits until a key of this name is there, or for a fetch that began after this call.

        None stands for a token that names no key and that no key fits. Raises `KeysUnavailable` if
        the fetch fails or would take too long; then nobody can know whether there is such a key.
        False: it was `missed` a moment ago.
        """
        if self._absent.get(kid, 0.0) > asyncio.get_running_loop().time():
            return False
        asked = self._began
        try:
            async with asyncio.timeout(self._pace.patience_s):
                while self._succeeded <= asked and not self.has(kid):
                    if self._failed > asked or self._due_in(wanted=True) > self._pace.patience_s:
                        raise KeysUnavailable
                    await self._round()
        except TimeoutError:
            raise KeysUnavailable from None
        return True

    def missed(self, kid: str | None) -> None:
        """The newest keys did not have it: `renew` does not wait for it again for a while."""
        self._absent.pop(kid, None)
        while len(self._absent) >= MOST_ABSENT:
            del self._absent[next(iter(self._absent))]
        self._absent[kid] = asyncio.get_running_loop().time() + self._pace.absent_s

    async def _round(self) -> None:
        """Asks for a fetch as soon as one may be; waits for the end of the next to end."""
        self._is_wanted = True
        self._stirred.set()
        await self._round_ends.wait()

    async def _run(self) -> None:
        while True:
            while (wait := self._due_in(wanted=self._is_wanted)) > 0:
                self._stirred.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._stirred.wait()
            await self._fetch_once()

    def _due_in(self, *, wanted: bool) -> float:
        at = self._may_fetch_at if wanted else self._refresh_at
        return at - asyncio.get_running_loop().time()

    async def _fetch_once(self) -> None:
        self._began += 1
        self._is_wanted = False
        try:
            async with asyncio.timeout(self._pace.fetch_timeout_s):
                document = await self._fetch()
            keys = jwk_set_keys(document)
        except KeyProblem as problem:
            self._put_off(str(problem))
        except TimeoutError:
            self._put_off(f"no answer within {self._pace.fetch_timeout_s:g} s")
        except Exception:
            _log.exception("the keys of %s cannot be fetched", self._name)
            self._put_off("an unexpected error")
        else:
            self._take(keys)
        ended, self._round_ends = self._round_ends, asyncio.Event()
        ended.set()

    def _take(self, keys: tuple[Key, ...]) -> None:
        now = asyncio.get_running_loop().time()
        if self._failures or {key.kid for key in keys} != {key.kid for key in self._keys}:
            names = ", ".join(sorted(key.kid or "(no kid)" for key in keys))
            _log.info("the keys of %s are %s", self._name, names)
        self._keys = keys
        self._succeeded = self._began
        self._failures = 0
        self._may_fetch_at = now + self._pace.floor_s
        # Nodes that started together do not ask together for ever.
        self._refresh_at = now + self._pace.refresh_s * (1 - self._jitter() / 10)

    def _put_off(self, problem: str) -> None:
        pace = self._pace
        bound = min(pace.retry_first_s * 2 ** min(self._failures, 20), pace.retry_most_s)
        wait = bound * (1 + self._jitter()) / 2
        self._failed = self._began
        self._failures += 1
        self._may_fetch_at = self._refresh_at = asyncio.get_running_loop().time() + wait
        if self._failures & (self._failures - 1) == 0:  # the 1st, 2nd, 4th, 8th, …
            _log.warning(
                "the keys of %s cannot be fetched (%d times now): %s; %s",
                self._name,
                self._failures,
                problem,
                "the known ones stay in use" if self._keys else "there are none yet",
            )
