# SPDX-License-Identifier: Apache-2.0
"""What pytest finds by itself where longcall is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .server import InMemoryServer


@pytest.fixture
def longcall_server() -> Iterator[InMemoryServer]:
    """A fresh `longcall.testing.InMemoryServer`; stopped when the test is over."""
    with InMemoryServer() as server:
        yield server
