# SPDX-License-Identifier: Apache-2.0
"""Lets tests import the modules of programs that are no packages."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("footprint", "hostile"):
    sys.path.append(str(Path(__file__).parents[1] / folder))
