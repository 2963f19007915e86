# SPDX-License-Identifier: Apache-2.0
"""longcall: call it, watch its progress, get the result."""

__version__ = "0.1.0"
