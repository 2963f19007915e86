# SPDX-License-Identifier: Apache-2.0
"""The runner: loads cases, plays them against drivers and servers, judges what was seen."""
