# SPDX-License-Identifier: Apache-2.0
"""The demonstration application: `longcall-server serve longcall_demo:handlers`."""

from longcall_demo.actions import handlers

__all__ = ["handlers"]
__version__ = "0.1.0"
