# SPDX-License-Identifier: Apache-2.0
"""Lets tests import the modules of `hostile/`, which is a program and no package."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "hostile"))
