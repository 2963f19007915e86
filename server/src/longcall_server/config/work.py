# SPDX-License-Identifier: Apache-2.0
"""Settings of how requests are run."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, Field

from longcall_server.config.durations import Duration, PositiveDuration


class AcceptanceSettings(BaseModel):
    """What holds for requests whose action does not say otherwise."""

    retention: PositiveDuration = Field(
        timedelta(hours=24),
        description="how long finished requests are kept, unless the action says",
    )
    sync_window: Duration = Field(
        timedelta(seconds=2), description="how long a quick action may take before it is stored"
    )


class WorkSettings(BaseModel):
    """What runs at once, and how workers look for it."""

    concurrency: int = Field(32, ge=1, le=10_000, description="durable requests running at once")
    tenant_concurrency: int | None = Field(
        None, ge=1, description="durable requests of one tenant running at once, over all workers"
    )
    owner_concurrency: int | None = Field(
        None, ge=1, description="durable requests of one owner running at once, over all workers"
    )
    threads: int = Field(32, ge=1, le=1000, description="threads for handlers that are plain `def`")
    processes: int | None = Field(
        None,
        ge=1,
        le=1000,
        description='processes for handlers with `executor="process"`; none: one for each CPU',
    )
    lease: PositiveDuration = Field(
        timedelta(seconds=30), description="after how long a silent worker's request is retried"
    )
    poll: PositiveDuration = Field(
        timedelta(seconds=5), description="how often logs and work are looked at without a wake-up"
    )
    drain_grace: Duration = Field(
        timedelta(seconds=20), description="how long running requests may finish at shutdown"
    )
