# SPDX-License-Identifier: Apache-2.0
"""Runs handlers, each as a coroutine or in a thread, and tells how they ended.

Quick and durable requests run here alike; only where their context writes differs. An execution
belongs to the executor from `start` until its handler has really ended: one that is stopped has
its outcome at once, and its handler is left alone if it does not give way.
"""

from longcall_server.executor.execution import Execution
from longcall_server.executor.executor import Executor
from longcall_server.executor.outcomes import (
    Cancelled,
    Completed,
    Failed,
    Outcome,
    Stopped,
    error_info,
)

__all__ = [
    "Cancelled",
    "Completed",
    "Execution",
    "Executor",
    "Failed",
    "Outcome",
    "Stopped",
    "error_info",
]
