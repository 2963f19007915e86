# SPDX-License-Identifier: Apache-2.0
"""Where the suite's cases, handlers and manifests are: in the wheel, or around the sources."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_PACKAGE = Path(__file__).resolve().parent.parent

SUITE: Final = _PACKAGE if (_PACKAGE / "cases").is_dir() else _PACKAGE.parent.parent
"""The folder that holds `cases`, `handlers` and `manifests`."""


def clause_texts() -> dict[str, str]:
    """The clauses of the protocol by their numbers; empty where its text is not at hand."""
    text = SUITE.parent / "schema" / "PROTOCOL.md"
    if not text.is_file():
        return {}
    statement = re.compile(r"^\*\*(\d+\.\d+\.\d+)\*\* (.+)$", re.MULTILINE)
    return dict(statement.findall(text.read_text("utf-8")))
