# SPDX-License-Identifier: Apache-2.0
"""The front end without an event loop: the same names, arguments and errors as `longcall.asyncio`.

A client has one background thread, in which the one for asyncio lives, and may be used from any
number of threads at once.
"""

from .client import Client, connect
from .handle import Callback, RequestHandle

__all__ = ["Callback", "Client", "RequestHandle", "connect"]
