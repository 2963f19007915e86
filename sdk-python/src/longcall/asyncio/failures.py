# SPDX-License-Identifier: Apache-2.0
"""Why there is no socket; a client tries again. Here, so that who catches it needs no library."""

from __future__ import annotations


class OpenFailed(Exception):
    """Raised when there is no socket.

    Attributes:
        status: That of the HTTP answer, if there was one.
        retry_after: The seconds of its `Retry-After`, if it has one.
    """

    def __init__(
        self, reason: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after = retry_after
