# SPDX-License-Identifier: Apache-2.0
"""Runs schedules; see docs/simulation.md."""

from __future__ import annotations

import sys

from simulation.command import main

sys.exit(main())
