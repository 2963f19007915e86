# SPDX-License-Identifier: Apache-2.0
"""What was demanded of a run, and what was not as it should be."""

from __future__ import annotations

from collections.abc import Sequence


class Verdicts:
    """Demands by name; each has passed while nothing was found against it."""

    def __init__(self) -> None:
        self._against: dict[str, list[str]] = {}

    def require(self, name: str, findings: Sequence[str] = ()) -> None:
        """Something was looked at; what was found against it."""
        self._against.setdefault(name, []).extend(findings)

    def find(self, name: str, finding: str) -> None:
        """Something is not as it should be."""
        self.require(name, [finding])

    @property
    def findings(self) -> list[str]:
        """All of them, with the demand that they speak against."""
        return [f"{name}: {one}" for name, found in self._against.items() for one in found]

    @property
    def passed(self) -> bool:
        """Whether something was looked at and nothing was found."""
        return bool(self._against) and not any(self._against.values())

    def closing_line(self) -> str:
        """`N passed, N failed`, as test runners close."""
        failed = sum(bool(found) for found in self._against.values())
        return f"{len(self._against) - failed} passed, {failed} failed"
