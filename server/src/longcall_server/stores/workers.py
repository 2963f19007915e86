# SPDX-License-Identifier: Apache-2.0
"""Names of workers, from which a store can tell that a worker is dead.

A name is `{boot}.{pid namespace}/{pid}/{start time}/{n}`. The kernel's boot id and the namespace of
process ids say where the pid means something; the start time tells a process from a later one with
the same pid. Where there is no `/proc` nobody is ever called dead, and a lost lease just runs out.
"""

from __future__ import annotations

import functools
import itertools
import os
from pathlib import Path

_NOWHERE = "unknown"
_GONE = "0"
_counter = itertools.count(1)


def worker_name() -> str:
    """Returns a name that no other worker of any process has."""
    start_time = _start_time(os.getpid()) or _GONE
    return f"{_place()}/{os.getpid()}/{start_time}/{next(_counter)}"


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
    found = _start_time(number)
    return found is not None and found != start_time


@functools.cache  # a process stays where it is
def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = os.readlink("/proc/self/ns/pid").removeprefix("pid:").strip("[]")
    except OSError:
        return f"{_NOWHERE}.{_NOWHERE}"
    return f"{boot}.{namespace}"


def _start_time(pid: int) -> str | None:
    """When the process started, in the kernel's ticks; `_GONE` if it is gone or a zombie, None if
    that cannot be told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return _GONE
    except OSError:
        return None  # e.g. no more files can be opened: nobody has died of that
    # The second field, the command in parentheses, may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    state, start_time = fields[0], fields[19]
    return _GONE if state in ("Z", "X") else start_time
