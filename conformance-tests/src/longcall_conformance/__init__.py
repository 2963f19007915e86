# SPDX-License-Identifier: Apache-2.0
"""One conformance suite for every longcall SDK and every longcall server."""

__version__ = "0.1.0"
