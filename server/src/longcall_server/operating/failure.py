# SPDX-License-Identifier: Apache-2.0
"""Why an operator's command could not do what it was asked."""

from __future__ import annotations


class CommandFailed(Exception):
    """The text says what is wrong, and what was done nevertheless. The exit code is 1."""
