# SPDX-License-Identifier: Apache-2.0
"""Where the suite's cases, handlers and manifests are: in the wheel, or around the sources."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE = Path(__file__).resolve().parent.parent

SUITE: Final = _PACKAGE if (_PACKAGE / "cases").is_dir() else _PACKAGE.parent.parent
"""The folder that holds `cases`, `handlers` and `manifests`."""
