# SPDX-License-Identifier: Apache-2.0
"""Claims due requests, has them run, renews their leases and writes down how they ended."""

from longcall_server.worker.sweeper import Sweeper
from longcall_server.worker.worker import Worker
from longcall_server.worker.writer import LeaseWriter

__all__ = ["LeaseWriter", "Sweeper", "Worker"]
