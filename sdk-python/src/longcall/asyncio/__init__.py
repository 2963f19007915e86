# SPDX-License-Identifier: Apache-2.0
"""The front end for asyncio."""

from .client import Client, connect
from .handle import RequestHandle

__all__ = ["Client", "RequestHandle", "connect"]
