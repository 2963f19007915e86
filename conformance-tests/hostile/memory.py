# SPDX-License-Identifier: Apache-2.0
"""The memory of a process over time, and whether it grows."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_EVERY = 0.5
MIB = 1 << 20


@dataclass
class Memory:
    """Samples of the resident set, in bytes."""

    samples: list[tuple[float, int]] = field(default_factory=list)
    """(seconds, bytes)."""

    async def watch(self, pid: int) -> None:
        """Until it is cancelled, or the process is gone."""
        while True:
            try:
                size = _resident(pid)
            except OSError:
                return
            self.samples.append((time.monotonic(), size))
            await asyncio.sleep(_EVERY)

    @property
    def peak(self) -> int:
        """The most that was seen."""
        return max((size for _, size in self.samples), default=0)

    def growth(self) -> float:
        """By how much it grew in the second half, by the straight line that fits it best."""
        if len(self.samples) < 4:
            return 0.0
        begun, ended = self.samples[0][0], self.samples[-1][0]
        half = [(at, size) for at, size in self.samples if at >= (begun + ended) / 2]
        mean_at = sum(at for at, _ in half) / len(half)
        mean = sum(size for _, size in half) / len(half)
        spread = sum((at - mean_at) ** 2 for at, _ in half)
        if spread == 0:
            return 0.0
        slope = sum((at - mean_at) * (size - mean) for at, size in half) / spread
        return slope * (half[-1][0] - half[0][0])


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
