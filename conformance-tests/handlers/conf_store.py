# SPDX-License-Identifier: Apache-2.0
"""Gates and counters of `conf.script`: files, so that all processes of a server share them.

They stand in the folder that LONGCALL_CONF_DIR names, each tenant's apart, and outlive a server
that is killed. Names are letters, digits, `_` and `-`, at most 64.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


class ConfStore:
    """The gates and counters of one tenant."""

    def __init__(self, tenant_id: str) -> None:
        base = os.environ.get("LONGCALL_CONF_DIR")
        if not base:
            raise RuntimeError("LONGCALL_CONF_DIR must name a folder that all processes share")
        digest = hashlib.sha256(tenant_id.encode()).hexdigest()[:32]
        self._folder = Path(base) / "conf" / digest
        self._folder.mkdir(parents=True, exist_ok=True)

    def release(self, gate: str) -> None:
        """Opens a gate, for good."""
        (self._folder / f"{gate}.gate").touch()

    def is_released(self, gate: str) -> bool:
        """Whether a gate is open."""
        return (self._folder / f"{gate}.gate").exists()

    def count(self, name: str) -> None:
        """Adds one to a counter; a crash right behind it does not take it back."""
        # One byte appended: whole or not at all, whoever else appends.
        file = os.open(
            self._folder / f"{name}.count", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
        )
        try:
            os.write(file, b"+")
        finally:
            os.close(file)

    def counted(self, name: str) -> int:
        """What a counter stands at; 0 for one that nobody has counted."""
        try:
            return (self._folder / f"{name}.count").stat().st_size
        except FileNotFoundError:
            return 0
