# SPDX-License-Identifier: Apache-2.0
"""Defects that are put into the server around an application when that is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from longcall_server import Handlers

Defects = Mapping[str, Callable[[], None]]


def planted(name: str, defects: Defects, handlers: Handlers) -> Handlers:
    """The application as `with_NAME`, whose defect is put in; a module's `__getattr__`."""
    defect = defects.get(name.removeprefix("with_")) if name.startswith("with_") else None
    if defect is None:
        raise AttributeError(name)
    defect()
    return handlers
