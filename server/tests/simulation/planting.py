# SPDX-License-Identifier: Apache-2.0
"""Plants a bug into a shipped function, in place, and takes it out again.

Only the code of the function is replaced: whoever has imported it, runs the mutant. A mutant whose
target no longer reads as it did is an error, never a mutant that quietly does nothing.
"""

from __future__ import annotations
import __future__

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from types import FunctionType
from typing import Any


class MutantDoesNotFit(Exception):
    """The function, or the text to replace in it, is not there exactly once."""


@dataclass(frozen=True)
class Mutant:
    """A bug: in `target` (`module:function`) `old` is replaced by `new`."""

    name: str
    clause: str
    """What it breaks."""
    target: str
    old: str
    new: str
    and_also: tuple[str, str] | None = None
    """Another text to replace, and what by."""

    def function(self) -> FunctionType:
        """The shipped function; raises `MutantDoesNotFit` if there is none."""
        module, _, path = self.target.partition(":")
        try:
            found: Any = reduce(
                getattr, path.split("."), import_module(f"longcall_server.{module}")
            )
        except (ImportError, AttributeError) as error:
            raise MutantDoesNotFit(f"{self.name}: {self.target}: {error}") from error
        if not inspect.isfunction(found):
            raise MutantDoesNotFit(f"{self.name}: {self.target} is no function")
        return found

    def mutated(self) -> FunctionType:
        """The function with the bug in it, which nobody calls yet."""
        function = self.function()
        text = textwrap.dedent(inspect.getsource(function))
        for old, new in ((self.old, self.new), *([self.and_also] if self.and_also else [])):
            if text.count(old) != 1:
                raise MutantDoesNotFit(
                    f"{self.name}: {self.target} holds {old!r} {text.count(old)} times: "
                    "the function has changed; say anew how to break it"
                )
            text = text.replace(old, new)
        flags = __future__.annotations.compiler_flag
        names = dict(function.__globals__)
        exec(compile(text, f"<{self.name}>", "exec", flags, dont_inherit=True), names)
        found = names[function.__name__]
        if found.__code__.co_freevars != function.__code__.co_freevars:
            raise MutantDoesNotFit(f"{self.name}: {self.target} is a closure")
        assert isinstance(found, FunctionType)
        return found

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The bug is there until the block ends."""
        function = self.function()
        sound = function.__code__
        function.__code__ = self.mutated().__code__
        try:
            yield
        finally:
            function.__code__ = sound
