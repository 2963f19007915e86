# SPDX-License-Identifier: Apache-2.0
"""A module that the server can import and its processes cannot."""

from __future__ import annotations

import sys

from longcall_server import SyncRequestContext

if "longcall_server.executor.process_child" in sys.modules:
    raise ImportError("there is no such device in here")


def handler(ctx: SyncRequestContext) -> None:
    """Is never called."""
