# SPDX-License-Identifier: Apache-2.0
"""The trace context of a caller (PROTOCOL 4.4.6)."""

from __future__ import annotations

import re
from typing import Final

_FIELDS: Final = "(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_TRACEPARENT: Final = re.compile(
    # Version ff is none; one later than 00 may have more fields at its end.
    f"00-{_FIELDS}|(?!00|ff)[0-9a-f]{{2}}-{_FIELDS}(-.*)?",
    re.DOTALL,
)


def valid_traceparent(text: str | None) -> str | None:
    """A `traceparent` by W3C Trace Context, unchanged; None for what cannot be read as one."""
    return text if text is not None and _TRACEPARENT.fullmatch(text) else None
