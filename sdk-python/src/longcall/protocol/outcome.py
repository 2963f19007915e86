# SPDX-License-Identifier: Apache-2.0
"""How a request ended for this client."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from pydantic import JsonValue

from ..errors import LongcallError, NotFoundError


class Ending(Enum):
    """By what a handle ended."""

    EVENT = auto()
    """By the terminal event of its log, which can be read again."""
    ANSWER = auto()
    """By the answer to a quick request, which has no log."""
    LOSS = auto()
    """By anything else: refused, gone, closed. Iterators raise the error instead of ending."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended for this client: with a result or an error."""

    ending: Ending
    result: JsonValue = None
    error: LongcallError | None = None

    @property
    def gone(self) -> NotFoundError | None:
        """The error where the log is gone, or never was: there is nothing to cancel or to ask."""
        error = self.error
        return error if self.ending is Ending.LOSS and isinstance(error, NotFoundError) else None
