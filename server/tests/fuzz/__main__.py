# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the core; see docs/proofs.md."""

from __future__ import annotations

import sys

from fuzz.command import main

sys.exit(main())
