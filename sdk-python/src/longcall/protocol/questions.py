# SPDX-License-Identifier: Apache-2.0
"""What was asked and awaits its answer: a cancel, a snapshot, a page of a list."""

from __future__ import annotations

from typing import Generic, TypeVar

from ..errors import LongcallError
from .signals import Signal

Answer = TypeVar("Answer")


class Question(Generic[Answer]):
    """Something that is answered once, with a value or an error.

    Attributes:
        answer: The value; None as long as there is none.
        error: What was answered instead.
        is_answered: True when either is there.
        changed: Fires then.
    """

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.error: LongcallError | None = None
        self.is_answered = False
        self.changed = Signal()

    def resolve(self, answer: Answer | None = None) -> None:
        self._end(answer, None)

    def fail(self, error: LongcallError) -> None:
        self._end(None, error)

    def _end(self, answer: Answer | None, error: LongcallError | None) -> None:
        if not self.is_answered:
            self.answer, self.error, self.is_answered = answer, error, True
            self.changed.fire()
