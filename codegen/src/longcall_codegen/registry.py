# SPDX-License-Identifier: Apache-2.0
"""The emitters: one a language, imported only when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final, Protocol, cast

from .errors import CodegenError
from .model import Bundle, Codes, States

EMITTERS: Final = ("bundle", "docs", "python", "typescript", "go")
"""The words of `--only`, in the order in which the emitters run; each is `emit_<word>.py`."""


class Emitter(Protocol):
    """A module that turns the schema into files of one language."""

    @property
    def NAME(self) -> str:
        """Its word."""

    @property
    def GENERATED(self) -> tuple[str, ...]:
        """Globs of the checkout where its files stand: one there that carries `MARK` and was not
        emitted is left over.
        """

    def emit(
        self, bundle: Bundle, codes: Codes, states: States, root: Path
    ) -> Mapping[PurePosixPath, str]:
        """Returns the text of each file, already formatted, by its path in the checkout `root`.

        Writes nothing. Raises `ToolMissing` when a program that it needs is not there.
        """


def load_emitters(names: Iterable[str]) -> list[Emitter]:
    """Imports the emitters of these words; raises `CodegenError` for an unknown word."""
    return [_load(name) for name in names]


def _load(name: str) -> Emitter:
    if name not in EMITTERS:
        raise CodegenError(f"no emitter is named {name!r}; there are: {', '.join(EMITTERS)}")
    module = f"{__package__}.emit_{name}"
    try:
        emitter = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise CodegenError(f"emitter {name}: there is no module {error.name}") from error
    for attribute in ("NAME", "GENERATED", "emit"):
        if not hasattr(emitter, attribute):
            raise CodegenError(f"emitter {name}: {module} has no {attribute}")
    return cast(Emitter, emitter)
