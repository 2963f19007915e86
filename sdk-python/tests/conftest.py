# SPDX-License-Identifier: Apache-2.0
"""A task that a test leaves behind fails it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from peer import Peer


@pytest_asyncio.fixture
async def no_leaks() -> AsyncIterator[None]:
    """Fails the test if tasks are left when all its servers and clients are closed."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"left behind: {left}"


@pytest_asyncio.fixture
async def peer(no_leaks: None) -> AsyncIterator[Peer]:
    """A scripted server."""
    async with Peer() as server:
        yield server


@pytest.fixture
def fast() -> dict[str, float]:
    """Options for short waits before a reconnect."""
    return {"backoff_initial": 0.01, "backoff_maximum": 0.05}
