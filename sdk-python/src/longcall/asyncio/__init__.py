# SPDX-License-Identifier: Apache-2.0
"""The front end for asyncio."""

from .client import Client, Duration, connect
from .handle import Callback, RequestHandle

__all__ = ["Callback", "Client", "Duration", "RequestHandle", "connect"]
