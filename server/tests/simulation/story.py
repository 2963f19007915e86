# SPDX-License-Identifier: Apache-2.0
"""One stored request, told event by event, and which events the protocol allows in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from longcall_server.stores.base import Record, RequestKey, StoredProgress

Violate = Callable[[str, str], None]
"""Called with the clause that was broken and what happened."""
IsWell = Callable[[Record, int], bool]
"""Whether a worker has lived without any trouble since then."""
WAITING, RUNNING, OVER = "waiting", "running", "over"


@dataclass(slots=True)
class Step:
    """Who wrote."""

    verb: str
    now: int
    attempt: int | None = None
    counted: bool = True
    retryable: bool = True
    promoted: bool = False
    operation: int = 0
    result: str | None = None
    checkpoint: bool = False


@dataclass(eq=False)
class Story:
    """One stored request, as the ledger has seen it happen."""

    record: Record
    max_attempts: int
    due_at: int
    payload: str = "null"
    state: str = WAITING
    attempt: int = 0
    failures: int = 0
    operation: int = 0
    kept_to: int = 0
    ended_by: tuple[int, str] | None = None
    """The attempt that ended itself last, and by which verb."""
    cancelled_at: int | None = None
    size: int = 0
    """Bytes of the log."""
    full_for: int = 0
    """The attempt for whose chunk there was no room."""
    frames: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    seen_at: int = 0
    """When it was stored."""
    removed_at: int | None = None
    acknowledged_by: object = None
    """The connection that was told first."""
    acknowledged: bool = False

    @property
    def key(self) -> RequestKey:
        return self.record.key

    @property
    def end(self) -> dict[str, Any] | None:
        """The terminal event."""
        return self.events[-1] if self.state is OVER else None


class Judge:
    """Says of each event whether it may stand where it stands; takes no decision itself."""

    def __init__(self, violate: Violate, count: Callable[[str], None], is_well: IsWell) -> None:
        self._violate = violate
        self._is_well = is_well
        self._count = count

    def event(self, story: Story, record: Record, event: dict[str, Any], step: Step) -> None:
        """An event was added to the log of the story."""
        if story.state is OVER:
            self._violate("10.20.2", f"{event} follows the terminal event of {story.key.id}")
        kind = event["type"]
        if (kind == "acknowledgment") != (event["seq"] == 1):
            self._violate("10.24.1", f"{kind} is event {event['seq']} of {story.key.id}")
        match kind:
            case "acknowledgment":
                return
            case "status" if event["status"] == "processing":
                self._began(story, record, event, step)
            case "status":
                self._retries(story, event, step)
            case "chunk":
                self._chunk(story, event, step)
            case "complete":
                self._completed(story, event, step)
                story.state = OVER
            case "error":
                self._failed(story, record, event, step)
                story.state = OVER

    def _chunk(self, story: Story, event: dict[str, Any], step: Step) -> None:
        if step.verb != "append" or story.state is not RUNNING:
            self._violate("10.16.1", f"{event} of {story.key.id} came by {step.verb}")
        if not step.attempt == event["attempt"] == story.attempt:
            self._violate("10.16.1", f"{event} was written by attempt {step.attempt}")

    def _completed(self, story: Story, event: dict[str, Any], step: Step) -> None:
        if step.verb != "complete" or story.state is not RUNNING:
            self._violate("5.8.3", f"{event} of {story.key.id} came by {step.verb}")
        same = step.result is not None and json.loads(step.result) == event["result"]
        if story.full_for == story.attempt:
            self._violate("10.44.3", f"{story.key.id} completed though its log was full")
        if step.attempt != story.attempt or not same:
            self._violate("10.16.1", f"{event} was written by attempt {step.attempt}")

    def _began(self, story: Story, record: Record, event: dict[str, Any], step: Step) -> None:
        if step.verb != "claim" and not step.promoted:
            self._violate("5.4.3", f"an attempt of {story.key.id} began by {step.verb}")
        if story.state is not WAITING:
            self._violate("10.16", f"{story.key.id} begins an attempt while it is {story.state}")
        if event["attempt"] != story.attempt + 1:
            self._violate("10.17.1", f"attempt {event['attempt']} follows {story.attempt}")
        if story.cancelled_at is not None:
            self._violate("10.14.1", f"{story.key.id} begins an attempt after its cancel")
        if step.now < story.due_at:
            self._violate("5.4.6, 10.10.1", f"{story.key.id} begins before it is due")
        deadline = record.deadline_at
        if deadline is not None and step.now >= deadline and not step.promoted:
            self._violate("10.22.2", f"{story.key.id} begins an attempt after its deadline")
        if event["chunks_kept_to"] != story.kept_to:
            self._violate("10.19.1", f"{event} where {story.kept_to} is kept")
        if story.failures >= story.max_attempts:
            self._violate("10.17.3", f"{story.key.id} begins after {story.failures} failures")
        story.attempt += 1
        story.operation = 0
        story.state = RUNNING

    def _retries(self, story: Story, event: dict[str, Any], step: Step) -> None:
        lost = step.verb == "sweep"
        if not lost and (step.verb != "fail" or step.attempt != story.attempt):
            self._violate("10.16.1", f"{event} of {story.key.id} came by {step.verb}")
        if story.state is not RUNNING or event["attempt"] != story.attempt:
            self._violate("10.16.3", f"{event} while {story.key.id} is {story.state}")
        if story.cancelled_at is not None:
            self._violate("10.14.2", f"{story.key.id} is retried after its cancel")
        if lost:
            self._count("lease lost")
            if (story.record.lease_expires_at or 0) > step.now:
                self._violate("5.4.2", f"{story.key.id} lost a lease that holds")
        if step.counted:
            if not lost and event["error"]["code"] == "UNAVAILABLE":
                self._violate("5.4.12", f"{event} is a hand-back and was counted")
            story.failures += 1
            if not step.retryable or story.failures >= story.max_attempts:
                self._violate("5.4.8", f"{story.key.id} retries after {story.failures} failures")
        if event["chunks_kept_to"] != story.kept_to:
            self._violate("10.19.1", f"{event} where {story.kept_to} is kept")
        self._count("retry")
        story.due_at = story_time(event["retry_at"])
        if story.due_at < step.now or (not step.counted and story.due_at != step.now):
            self._violate("5.4.11", f"{event} at {step.now}")
        story.state = WAITING

    def _failed(self, story: Story, record: Record, event: dict[str, Any], step: Step) -> None:
        if step.attempt is not None and not (
            story.state is RUNNING and step.attempt == story.attempt
        ):
            self._violate("10.16.1", f"{event} was written by attempt {step.attempt}")
        match event["error"]["code"]:
            case "CANCELLED":
                self._cancelled(story, record, event, step)
            case "TIMEOUT":
                self._count("deadline passed")
                at = record.deadline_at
                if step.verb != "sweep" or at is None or at > step.now:
                    self._violate("10.22", f"{event} at {step.now}, deadline {at}")
            case _:
                self._broken(story, event, step)

    def _cancelled(self, story: Story, record: Record, event: dict[str, Any], step: Step) -> None:
        at = story.cancelled_at
        if step.verb == "request_cancel" and record.cancel_requested_at is not None:
            at = step.now
        if at is None:
            self._violate("10.14", f"{story.key.id} is cancelled and nobody asked for it")
            return
        if event["error"].get("details", {}).get("reason") != record.cancel_reason:
            self._violate("10.14.6", f"{event} for the reason {record.cancel_reason}")
        if step.verb == "sweep":
            over = at + record.cancel_grace_ms <= step.now
            self._count("cancel grace over" if over else "lease lost after cancel")
            if not over and not _lease_lost(story, step):
                self._violate("10.14.4", f"{story.key.id} ended within the grace")
            stubborn = '"stubborn":true' in story.payload
            if over and not stubborn and self._is_well(story.record, at):
                self._violate("5.6.4", f"the handler of {story.key.id} was not told of its cancel")
        elif step.verb == "request_cancel" and story.state is RUNNING:
            self._violate("10.14.4", f"{story.key.id} ran and was ended at once")

    def _broken(self, story: Story, event: dict[str, Any], step: Step) -> None:
        """The last attempt failed, or failed for good."""
        self._count("failed for good")
        if story.state is not RUNNING:
            self._violate("5.8.3", f"{event} by {step.verb} while {story.key.id} waits")
        if story.cancelled_at is not None:
            self._violate("10.14.3", f"{event} after a cancel")
        if step.verb == "sweep":
            if not _lease_lost(story, step):
                self._violate("5.4.2", f"{event} while the lease holds")
            # The error of a log that is full takes the place of one that does not fit any more.
            if event["error"]["code"] not in ("INTERNAL_ERROR", "RESOURCE_EXHAUSTED"):
                self._violate("5.4.9", f"{event} for a lost lease")
        code = event["error"]["code"]
        if step.verb == "fail" and story.full_for == story.attempt and code != "RESOURCE_EXHAUSTED":
            self._violate("10.44.3", f"{event} though its log was full")
        final = step.verb == "fail" and not step.retryable
        if not final and story.failures + 1 < story.max_attempts:
            self._violate("5.4.5", f"{event} after {story.failures} earlier failures")

    def _cancel_facts(self, story: Story, before: Record, record: Record, step: Step) -> None:
        if before.cancel_requested_at is not None and story.cancelled_at is not None:
            if record.cancel_requested_at != before.cancel_requested_at:
                self._violate("5.6.7", f"a cancel of {story.key.id} had a further effect")
            if record.cancel_reason != before.cancel_reason:
                self._violate("10.14.6", f"{story.key.id} has another reason now")
        if record.cancel_requested_at is not None and story.cancelled_at is None:
            if step.verb != "request_cancel" and not step.promoted:
                self._violate("10.14", f"{story.key.id} was cancelled by {step.verb}")
            story.cancelled_at = record.cancel_requested_at

    def facts(self, story: Story, before: Record, record: Record, step: Step) -> None:
        """What must hold of the record beside its log."""
        if record.record_id != before.record_id or record.created_at != before.created_at:
            self._violate("10.32", f"{story.key.id} is another request now")
        if record.deadline_at != before.deadline_at or record.digest != before.digest:
            self._violate("10.22.4, 10.23.3", f"{story.key.id} has been rewritten")
        if record.last_seq != len(story.frames) or record.attempt != story.attempt:
            self._violate("1.1.1", f"{record} does not match its log")
        if record.chunks_kept_to != story.kept_to:
            self._violate("10.19.1", f"kept to {record.chunks_kept_to}, not {story.kept_to}")
        if record.failures != story.failures and story.state is not OVER:
            self._violate("5.4.12, 10.17.3", f"{record.failures} failures, not {story.failures}")
        if record.status.value != _status(story):
            self._violate("5.8.2", f"{story.key.id} is {record.status}, not {_status(story)}")
        self._cancel_facts(story, before, record, step)
        if mark(record.progress) < mark(before.progress):
            self._violate("10.36.1", f"progress of {story.key.id} went back")


def _status(story: Story) -> str:
    if story.end is not None:
        if story.end["type"] == "complete":
            return "completed"
        return "cancelled" if story.end["error"]["code"] == "CANCELLED" else "failed"
    if story.state is RUNNING:
        return "processing"
    return "retrying" if story.attempt else "queued"


def mark(progress: StoredProgress | None) -> tuple[int, int]:
    return (0, 0) if progress is None else (progress.attempt, progress.version)


def story_time(text: str) -> int:
    """A time of the wire as milliseconds since the epoch."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round(moment.timestamp() * 1000)


def _lease_lost(story: Story, step: Step) -> bool:
    return story.state is RUNNING and (story.record.lease_expires_at or 0) <= step.now
