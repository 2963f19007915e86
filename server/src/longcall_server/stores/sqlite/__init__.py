# SPDX-License-Identifier: Apache-2.0
"""The embedded engine: one SQLite file, a durable acknowledgment, group commit."""

from longcall_server.stores.sqlite.engine import SqliteStore

__all__ = ["SqliteStore"]
