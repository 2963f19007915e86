# SPDX-License-Identifier: Apache-2.0
"""Open files: a connection is one, and a process may have only so many."""

from __future__ import annotations

import contextlib
import logging
import resource
from typing import Final

_log = logging.getLogger(__name__)

RESERVE: Final = 256
"""Open files for all else: the store, handlers' files and pipes, modules."""


def connections_within_limits(wanted: int) -> int:
    """How many of `wanted` connections this process may have open at once; at least one.

    Raises the process's own limit of open files as far as that needs and as far as it may: many
    systems begin with 1,024. One connection more than files would make it deaf to everybody.
    """
    needed = wanted + RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        if raised > soft:
            # Some systems, macOS among them, name no limit here and yet have one.
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
                soft = raised
        if soft < needed:
            possible = max(1, soft - RESERVE)
            _log.info(
                "it takes at most %d connections, not %d: "
                "the process may have %d open files (ulimit -n)",
                possible,
                wanted,
                soft,
            )
            return possible
    return wanted
