# SPDX-License-Identifier: Apache-2.0
"""Fuzzing of the pure core, by hypothesis and by coverage; see docs/proofs.md."""
