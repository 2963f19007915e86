# SPDX-License-Identifier: Apache-2.0
"""Names of workers, from which a store can tell that a worker is dead.

A name is `{boot}.{pid namespace}/{pid}/{start time}/{n}`. The kernel's boot id and the namespace of
process ids say where the pid means something; the start time tells a process from a later one with
the same pid. Where there is no `/proc` nobody is ever called dead, and a lost lease just runs out.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

_NOWHERE = "unknown"
_counter = itertools.count(1)


def worker_name() -> str:
    """Returns a name that no other worker of any process has."""
    return f"{_place()}/{os.getpid()}/{_start_time(os.getpid())}/{next(_counter)}"


def is_dead(worker: str, *, one_machine: bool = False) -> bool:
    """Whether the worker's process certainly no longer runs; False when in doubt.

    `one_machine`: all names come from this machine, so one of another boot is dead.
    """
    try:
        place, pid, start_time, _ = worker.split("/")
        boot, namespace = place.split(".")
        number = int(pid)
    except ValueError:
        return False
    our_boot, our_namespace = _place().split(".")
    if _NOWHERE in (boot, our_boot):
        return False
    if boot != our_boot:
        return one_machine
    if _NOWHERE in (namespace, our_namespace) or namespace != our_namespace:
        return False
    return _start_time(number) != start_time


def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = os.readlink("/proc/self/ns/pid").removeprefix("pid:").strip("[]")
    except OSError:
        return f"{_NOWHERE}.{_NOWHERE}"
    return f"{boot}.{namespace}"


def _start_time(pid: int) -> str:
    """When the process started, in the kernel's ticks; "0" if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "0"
    # The second field, the command in parentheses, may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    state, start_time = fields[0], fields[19]
    return "0" if state in ("Z", "X") else start_time
