# SPDX-License-Identifier: Apache-2.0
"""Logs. Nothing here or elsewhere writes a token or a payload to them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

ROOT = "longcall_server"


class Seldom:
    """Warnings that a flood would repeat: one of each text a minute."""

    def __init__(
        self,
        logger: logging.Logger,
        *,
        quiet_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._quiet_s = quiet_s
        self._clock = clock
        self._quiet_until: dict[str, float] = {}

    def warning(self, text: str, *values: object) -> None:
        """Logs it, unless `text` was logged a short while ago."""
        now = self._clock()
        if now >= self._quiet_until.get(text, now):
            self._quiet_until[text] = now + self._quiet_s
            self._logger.warning(text, *values)


class _UtcFormatter(logging.Formatter):
    """One line a record (a traceback follows it), in UTC with milliseconds."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname:<7} {name}: {message}", style="{")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def configure_logging(level: str) -> None:
    """Sends the server's log, and warnings of everything else, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_UtcFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, _number(level)))
    logging.getLogger(ROOT).setLevel(_number(level))
    # Its access log would name request ids and whatever a client puts into a query.
    logging.getLogger("aiohttp.access").setLevel(logging.CRITICAL)


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]
