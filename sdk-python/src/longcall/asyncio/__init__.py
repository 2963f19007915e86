# SPDX-License-Identifier: Apache-2.0
"""The front end for asyncio."""

from .client import Client, connect
from .handle import Callback, RequestHandle
from .iteration import EventIterator
from .mapping import MapIterator

__all__ = ["Callback", "Client", "EventIterator", "MapIterator", "RequestHandle", "connect"]
