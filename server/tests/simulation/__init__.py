# SPDX-License-Identifier: Apache-2.0
"""The server's heart over a virtual clock, through seeded random faults. See docs/simulation.md."""
