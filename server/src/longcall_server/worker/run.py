# SPDX-License-Identifier: Apache-2.0
"""One leased execution of a worker."""

from __future__ import annotations

from longcall_server.executor import Execution
from longcall_server.handlers.attempt import FENCED
from longcall_server.stores.base import Lease
from longcall_server.worker.writer import LeaseWriter


class Run:
    """One leased execution."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.execution: Execution
        self.writer: LeaseWriter
        self.finishing = False
        self.fenced = False
        self.handed_back = False

    def fence(self) -> None:
        """The attempt is no longer the current one: nothing of it counts any more."""
        self.fenced = True
        self.execution.stop()

    def over(self) -> None:
        """Nothing is written any more, whatever a handler still tries; leaves no ring of references
        for the garbage collector."""
        self.execution.writer = FENCED
        del self.writer
