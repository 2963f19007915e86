# SPDX-License-Identifier: Apache-2.0
"""The bus between the processes that share one data folder."""

from longcall_server.bus.doorbell.engine import DoorbellBus

__all__ = ["DoorbellBus"]
