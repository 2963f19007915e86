# SPDX-License-Identifier: Apache-2.0
"""The reference server of the longcall protocol."""

__version__ = "0.1.0"
