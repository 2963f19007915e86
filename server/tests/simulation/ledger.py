# SPDX-License-Identifier: Apache-2.0
"""What the store must have done: a second opinion on every write, event by event.

The ledger sees every call that reached the store, reads the log through the store's public verbs
and follows each request by itself. It takes no decision of the server's: it says of each step
whether the protocol allows it, and it never looks at the table of states.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from longcall_server.core.events import EventDraft
from longcall_server.core.scheduling import ConcurrencyLimits
from longcall_server.stores.base import (
    Fenced,
    Lease,
    LogFull,
    NewRequest,
    Owner,
    Promotion,
    Record,
    RequestKey,
    StoredProgress,
    Submitted,
    Tombstone,
)
from longcall_server.stores.base import SubmitOutcome as Found
from simulation.story import OVER, RUNNING, WAITING, IsWell, Judge, Step, Story, Violate, mark

_KEPT_ROOM = 8_192
"""More than a log keeps free for its end."""


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """The answer of a store that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    work.close()
    raise AssertionError("the store in memory has waited")


class Ledger:
    """All requests of one store."""

    def __init__(
        self,
        store: Any,
        *,
        violate: Violate,
        count: Callable[[str], None],
        is_well: IsWell,
        id_retention_ms: int,
        max_log_bytes: int,
        max_waiting: int,
    ) -> None:
        self._store = store
        self._violate = violate
        self._count = count
        self._judge = Judge(violate, count, is_well)
        self._id_retention_ms = id_retention_ms
        self._max_log_bytes = max_log_bytes
        self._max_waiting = max_waiting
        self.stories: dict[RequestKey, Story] = {}
        self.sendings: Counter[RequestKey] = Counter()
        """How many messages asked for it, over all nodes."""
        self.executions: dict[tuple[RequestKey, int], int] = {}
        """How often a handler was called for an attempt."""
        self.reports: dict[tuple[RequestKey, int], int] = {}
        """How often the handler of an attempt reported progress."""

    # --- One call -----------------------------------------------------------------------------

    def carry_out(self, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Has the store do it, and judges what it did; returns or raises what the store does."""
        now = self._store.now()
        before = self._before(verb, args)
        error: Exception | None = None
        result: Any = None
        try:
            result = at_once(getattr(self._store, verb)(*args, **kwargs))
        except Exception as raised:
            error = raised
        judge = getattr(self, f"_{verb}", None)
        if judge is not None:
            judge(now, before, result, error, *args, **kwargs)
        elif error is not None:
            raise error
        if error is not None:
            raise error
        return result

    def _before(self, verb: str, args: tuple[Any, ...]) -> Any:
        if verb == "submit":
            owner = args[0].key.owner
            unfinished = [story for story in self.stories.values() if story.state is not OVER]
            return (
                sum(story.key.owner == owner for story in unfinished),
                sum(
                    story.state is WAITING and story.key.owner.tenant_id == owner.tenant_id
                    for story in unfinished
                ),
            )
        return None

    # --- Verbs --------------------------------------------------------------------------------

    def _submit(
        self,
        now: int,
        before: tuple[int, int],
        result: Submitted,
        error: Exception | None,
        new: NewRequest,
        *,
        max_in_flight: int,
        promotion: Promotion | None = None,
    ) -> None:
        if error is not None:
            self._violate("5.1", f"submit raised {error!r}")
            return
        story = self.stories.get(new.key)
        if story is None:
            self._judge_limits(result.outcome, new, before, max_in_flight, promotion)
            if result.outcome in (Found.OVER_LIMIT, Found.TENANT_FULL):
                return
            if result.outcome is not Found.CREATED or result.record is None:
                self._violate("5.1.4", f"{new.key.id} is new and was answered {result.outcome}")
                return
            self._created(now, new, promotion)
            return
        if story.removed_at is not None:
            if result.outcome is not Found.EXPIRED:
                self._violate("10.31.1", f"{new.key.id} is expired and was {result.outcome}")
            return
        same = story.record.digest == new.digest
        expected = Found.DUPLICATE if same else Found.CONFLICT
        if story.record.submission == new.submission:
            expected = Found.CREATED
        if result.outcome is not expected:
            self._violate("10.23", f"{new.key.id} was {result.outcome}, not {expected}")
        self._count(f"stored before: {expected}")
        self.look(story, Step("submit again", now))

    def _judge_limits(
        self,
        outcome: Found,
        new: NewRequest,
        before: tuple[int, int],
        max_in_flight: int,
        promotion: Promotion | None,
    ) -> None:
        """Refused exactly at a limit, and never what runs already."""
        in_flight, waiting = before
        is_limited = promotion is None
        over = is_limited and in_flight >= max_in_flight
        full = is_limited and waiting >= self._max_waiting
        if outcome is Found.OVER_LIMIT and not over:
            self._violate("10.45", f"{new.key.id} refused with {in_flight} in flight")
        elif outcome is Found.TENANT_FULL and not full:
            self._violate("6.6.10", f"{new.key.id} refused with {waiting} waiting")
        elif outcome is Found.CREATED and over:
            self._violate("10.45.1", f"{new.key.id} accepted with {in_flight} in flight")
        elif outcome is Found.CREATED and full:
            self._violate("10.45.7", f"{new.key.id} accepted with {waiting} waiting")
        if outcome is not Found.CREATED:
            self._count(f"new request: {outcome}")

    def _created(self, now: int, new: NewRequest, promotion: Promotion | None) -> None:
        found = at_once(self._store.get(new.key))
        if not isinstance(found, Record):
            self._violate("5.2.1", f"{new.key.id} was accepted and is not stored")
            return
        created_at = now
        if promotion is not None:
            assert new.received_at is not None
            created_at = new.received_at
        if found.created_at != created_at:
            self._violate("5.2.2, 5.3.4", f"{new.key.id} created {found.created_at - created_at}")
        deadline = None if new.deadline_ms is None else created_at + new.deadline_ms
        if found.deadline_at != deadline:
            self._violate("10.22.1", f"deadline {found.deadline_at}, not {deadline}")
        story = Story(
            found._replace(status=found.status),
            max_attempts=new.policy.max_attempts,
            due_at=created_at + new.delay_ms,
            payload=new.payload,
            seen_at=now,
        )
        self.stories[new.key] = story
        step = Step("submit", now, promoted=promotion is not None)
        self.look(story, step)
        if len(story.events) != (1 if promotion is None else 2):
            self._violate("10.7.1", f"{new.key.id} was stored with {len(story.events)} events")
        if promotion is not None:
            self._count("promotion")
            if promotion.cancel_requested:
                self._count("promotion by cancel")

    def _claim(
        self,
        now: int,
        _: Any,
        result: Any,
        error: Exception | None,
        worker: str,
        actions: Any,
        *,
        limit: int,
        lease_ms: int,
        concurrency: ConcurrencyLimits,
    ) -> None:
        if error is not None:
            self._violate("5.4.1", f"claim raised {error!r}")
            return
        if len(result) > limit:
            self._violate("5.4.1", f"{len(result)} claimed of {limit}")
        for claimed in result:
            story = self.stories.get(claimed.record.key)
            if story is None or story.removed_at is not None:
                self._violate("5.4.1", f"{claimed.record.key.id} was claimed and is not stored")
                continue
            before = story.attempt
            self.look(story, Step("claim", now))
            if story.state is not RUNNING or story.attempt != before + 1:
                self._violate("10.17.1", f"{story.key.id} claimed without a new attempt")
            if claimed.lease.attempt != story.attempt or claimed.record.attempt != story.attempt:
                self._violate("10.16", f"{story.key.id} leased as {claimed.lease.attempt}")
            expires_at = claimed.lease.expires_at
            if expires_at != now + lease_ms or story.record.lease_expires_at != expires_at:
                self._violate("5.4.1", f"{story.key.id} has a lease until {expires_at}")
            self._concurrency(story, concurrency)
        self._turns(now, [one.record.key.owner for one in result], actions, concurrency)

    def _concurrency(self, claimed: Story, limits: ConcurrencyLimits) -> None:
        """No claim begins more of an action, a tenant or an owner than may run at once."""
        running = [story for story in self.stories.values() if story.state is RUNNING]
        action, tenant = claimed.record.action, claimed.key.owner.tenant_id
        of_action = sum(story.record.action == action for story in running)
        of_tenant = sum(story.key.owner.tenant_id == tenant for story in running)
        if of_action > limits.per_action.get(action, of_action):
            self._violate("5.4.14", f"{of_action} of {action} run at once")
        if limits.per_tenant is not None and of_tenant > limits.per_tenant:
            self._violate("5.4.14", f"{of_tenant} of {tenant} run at once")
        of_owner = sum(story.key.owner == claimed.key.owner for story in running)
        if limits.per_owner is not None and of_owner > limits.per_owner:
            self._violate("5.4.14", f"{of_owner} of {claimed.key.owner} run at once")

    def _turns(
        self, now: int, served: list[Owner], actions: Any, limits: ConcurrencyLimits
    ) -> None:
        """Nobody was served while another of the tenant, of whom less ran, had something due."""
        running = Counter(
            story.key.owner for story in self.stories.values() if story.state is RUNNING
        )
        passed_over = {
            story.key.owner
            for story in self.stories.values()
            if story.state is WAITING
            and story.record.due_at <= now
            and (story.record.deadline_at is None or story.record.deadline_at > now)
            and story.record.action in actions
            and story.record.action not in limits.per_action
        }
        for one in set(served):
            for other in passed_over:
                if other.tenant_id == one.tenant_id and running[other] + 1 < running[one]:
                    self._violate("5.4.14", f"{one} was served before {other}")
        if passed_over - set(served) and served:
            self._count("owners take turns")

    def _append(
        self,
        now: int,
        _: Any,
        result: Any,
        error: Exception | None,
        lease: Lease,
        draft: Any,
        *,
        operation: int,
        checkpoint: str | None = None,
    ) -> None:
        story = self.stories[lease.key]
        holds = self._holds(story, lease)
        if holds and isinstance(error, LogFull):
            self._full(story, draft)
            return
        if not self._fenced_as_due(story, lease, error, holds=holds, repeated=False):
            return
        first = operation == story.operation + 1
        step = Step(
            "append", now, lease.attempt, operation=operation, checkpoint=checkpoint is not None
        )
        before = len(story.frames)
        self.look(story, step)
        added = len(story.frames) - before
        expected = 1 if first and draft is not None else 0
        if added != expected:
            self._violate("10.18.2", f"{story.key.id} operation {operation} added {added} events")
        if not first:
            self._count("append repeated")
        story.operation = operation

    def _full(self, story: Story, draft: EventDraft) -> None:
        """There is no room for a chunk: that must be so, and the request must end of it."""
        self._count("log full")
        if story.size + draft.size + _KEPT_ROOM <= self._max_log_bytes:
            self._violate("10.44.3", f"{story.key.id} is full with {story.size} bytes")
        story.full_for = story.attempt
        self.look(story, Step("fenced", self._store.now()))

    def _complete(
        self,
        now: int,
        _: Any,
        result: Any,
        error: Exception | None,
        lease: Lease,
        text: str,
        *,
        progress: StoredProgress | None = None,
        files: Any = (),
    ) -> None:
        story = self.stories[lease.key]
        holds = self._holds(story, lease)
        repeated = story.ended_by == (lease.attempt, "complete")
        if not self._fenced_as_due(story, lease, error, holds=holds, repeated=repeated):
            return
        self.look(story, Step("complete", now, lease.attempt, result=text))
        if story.end is None or story.end["type"] != "complete":
            self._violate("10.18.3", f"{story.key.id} completed and has not ended so")
            return
        if not holds:
            self._count("complete repeated")
            return
        story.ended_by = (lease.attempt, "complete")
        self._newest_progress(story, lease.attempt)

    def _fail(
        self,
        now: int,
        _: Any,
        result: Any,
        error: Exception | None,
        lease: Lease,
        text: str,
        *,
        retryable: bool,
        counted: bool = True,
        retry_after_ms: int | None = None,
        progress: StoredProgress | None = None,
    ) -> None:
        story = self.stories[lease.key]
        holds = self._holds(story, lease)
        repeated = story.ended_by == (lease.attempt, "fail")
        if not self._fenced_as_due(story, lease, error, holds=holds, repeated=repeated):
            return
        step = Step("fail", now, lease.attempt, counted=counted, retryable=retryable)
        self.look(story, step)
        if not holds:
            self._count("fail repeated")
            return
        story.ended_by = (lease.attempt, "fail")
        if story.state is RUNNING:
            self._violate("10.16.3", f"{story.key.id} failed and still runs")
        if not counted:
            self._count("handed back")
        else:
            self._newest_progress(story, lease.attempt)

    def _renew(
        self,
        now: int,
        _: Any,
        result: Any,
        error: Exception | None,
        renewals: Any,
        *,
        lease_ms: int,
    ) -> None:
        if error is not None:
            self._violate("5.4.1", f"renew raised {error!r}")
            return
        for renewal, answer in zip(renewals, result, strict=True):
            lease = renewal.lease
            story = self.stories[lease.key]
            holds = self._holds(story, lease)
            before = story.record
            self.look(story, Step("renew", now, lease.attempt))
            if (answer.lease is not None) != holds:
                self._violate("10.16.1", f"renewal of attempt {lease.attempt}: holds {holds}")
            if not holds:
                self._count("renewal fenced")
                if story.record != before:
                    self._violate("10.16.1", f"{story.key.id} was changed by a fenced renewal")
                continue
            if answer.cancel_requested != (story.cancelled_at is not None):
                self._violate("5.6.4", f"{story.key.id}: the worker is not told of a cancel")
            if story.record.lease_expires_at != now + lease_ms:
                self._violate("5.4.1", f"{story.key.id} renewed without effect")

    def _request_cancel(
        self,
        now: int,
        _: Any,
        result: Record | None,
        error: Exception | None,
        key: RequestKey,
        reason: str | None,
    ) -> None:
        story = self.stories.get(key)
        if story is None or story.removed_at is not None:
            if result is not None:
                self._violate("3.4.2", f"{key.id} was cancelled and does not exist")
            return
        if result is None or error is not None:
            self._violate("10.28.3", f"{key.id} is stored and cancel found nothing: {error!r}")
            return
        first = story.state is not OVER and story.cancelled_at is None
        waiting = story.state is WAITING
        self.look(story, Step("request_cancel", now))
        if first and (story.cancelled_at != now or story.record.cancel_reason != reason):
            self._violate("10.14.6", f"{key.id}: the cancel was not taken down")
        if first and waiting and story.state is not OVER:
            self._violate("5.6.3", f"{key.id} waits on after its cancel")
        if first:
            self._count("cancel of a waiting request" if waiting else "cancel of a running request")

    def _sweep(
        self, now: int, _: Any, result: Any, error: Exception | None, *, limit: int = 1_000
    ) -> None:
        if error is not None:
            self._violate("5.8", f"sweep raised {error!r}")
            return
        for key in result.removed:
            self._removed(self.stories[key], now)
        for story in self.stories.values():
            if story.removed_at is not None:
                continue
            before = len(story.frames)
            self.look(story, Step("sweep", now))
            if len(story.frames) != before and story.key not in result.changed:
                self._violate("6.2", f"{story.key.id} was swept and nobody is told")
            self._nothing_overdue(story, now)

    def _nothing_overdue(self, story: Story, now: int) -> None:
        record = story.record
        if story.state is OVER:
            if record.expires_at is None or record.expires_at <= now:
                self._violate("5.9.1", f"{story.key.id} is kept beyond its retention")
            return
        if record.deadline_at is not None and record.deadline_at <= now:
            self._violate("5.7.1", f"{story.key.id} lives beyond its deadline")
        if story.state is not RUNNING:
            return
        at = story.cancelled_at
        if at is not None and at + record.cancel_grace_ms <= now:
            self._violate("5.6.5, 10.14.5", f"{story.key.id} outlives the grace of its cancel")
        if record.lease_expires_at is None or record.lease_expires_at <= now:
            self._violate("5.4.2", f"{story.key.id} runs on without lease")

    def _removed(self, story: Story, now: int) -> None:
        record = story.record
        self._count("retention removed a log")
        if story.state is not OVER or record.finished_at is None:
            self._violate("5.9.3", f"{story.key.id} was removed unfinished")
        elif now < record.finished_at + record.retention_ms:
            self._violate("5.9.1", f"{story.key.id} was removed too early")
        story.removed_at = now
        found = at_once(self._store.get(story.key))
        if not isinstance(found, Tombstone):
            self._violate("10.31.1", f"{story.key.id} was removed and left {found}")
        elif found.expires_at < now + self._id_retention_ms:
            self._violate("10.31.1", f"the id {story.key.id} is forgotten too early")

    def _requeue(
        self,
        now: int,
        _: Any,
        result: Record | None,
        error: Exception | None,
        key: RequestKey,
        new_id: str,
    ) -> None:
        old = self.stories.get(key)
        if result is None or error is not None:
            return
        if old is None or old.end is None or result.requeued_from != key.id:
            self._violate("10.20.1", f"{key.id} was requeued as {result}")
            return
        self.look(old, Step("requeue", now))
        if result.key.id in (key.id, ""):
            self._violate("10.20.1", f"{key.id} was requeued under its own id")
        if result.key not in self.stories:
            story = Story(
                result, result.policy.max_attempts, due_at=now, payload=old.payload, seen_at=now
            )
            self.stories[result.key] = story
            story.acknowledged = True  # an operator was told
            self.look(story, Step("submit", now))
            self._count("requeue")

    def _get(self, now: int, _: Any, result: Any, error: Exception | None, key: RequestKey) -> None:
        self._sees(key, isinstance(result, Record), error)

    def _read(
        self,
        now: int,
        _: Any,
        result: Any,
        error: Exception | None,
        key: RequestKey,
        after_seq: int,
        *,
        max_bytes: int = 262_144,
    ) -> None:
        self._sees(key, result is not None, error)

    def _sees(self, key: RequestKey, found: bool, error: Exception | None) -> None:
        story = self.stories.get(key)
        stored = story is not None and story.removed_at is None
        if found != stored or error is not None:
            self._violate("10.28.1", f"{key.id} stored {stored}, found {found}, {error!r}")

    # --- One log ------------------------------------------------------------------------------

    def look(self, story: Story, step: Step) -> None:
        """Reads what is new of a log and judges it."""
        if story.removed_at is not None:
            return
        known = len(story.frames)
        slice_ = at_once(self._store.read(story.key, known))
        if slice_ is None:
            self._violate("1.1.3", f"the log of {story.key.id} is gone")
            return
        before, record = story.record, slice_.record
        for number, event in enumerate(slice_.events, known + 1):
            if event.seq != number:
                self._violate("1.1.1", f"{story.key.id} has {event.seq} where {number} is next")
            message = json.loads(event.frame)
            if message.get("seq") != number or message.get("request_id") != story.key.id:
                self._violate("1.1.1", f"frame {event.frame} stands under {number}")
            story.frames.append(event.frame)
            story.size += len(event.frame)
            if max(story.size, record.log_bytes) > self._max_log_bytes:
                self._violate("10.44.3", f"the log of {story.key.id} has {record.log_bytes} bytes")
            story.events.append(message)
            self._judge.event(story, record, message, step)
            if event.is_terminal != (story.state is OVER):
                self._violate("5.8.1", f"{event.frame} is terminal: {event.is_terminal}")
        story.record = record
        if step.checkpoint and step.operation == story.operation + 1:
            story.kept_to = len(story.frames)
        self._judge.facts(story, before, record, step)

    def _holds(self, story: Story, lease: Lease) -> bool:
        return (
            story.removed_at is None
            and story.state is RUNNING
            and story.attempt == lease.attempt
            and story.record.record_id == lease.record_id
        )

    def _fenced_as_due(
        self, story: Story, lease: Lease, error: Exception | None, *, holds: bool, repeated: bool
    ) -> bool:
        """Whether the write was taken; it must be, exactly when its attempt is the current one."""
        if error is not None and not isinstance(error, Fenced):
            self._violate("10.18", f"a write of {story.key.id} raised {error!r}")
            return False
        if (error is None) != (holds or repeated) and story.removed_at is None:
            self._violate("10.16.1", f"attempt {lease.attempt} of {story.key.id}: {error!r}")
            return False
        if error is not None:
            self._count("write fenced")
            self.look(story, Step("fenced", self._store.now(), lease.attempt))
        return error is None

    def _newest_progress(self, story: Story, attempt: int) -> None:
        place = (story.key, attempt)
        reported = self.reports.get(place, 0)
        if not reported or self.executions.get(place) != 1:
            return  # two quick executions of one id: which of them it was is not known here
        if mark(story.record.progress) != (attempt, reported):
            self._violate("10.35.1", f"{story.record.progress} of {reported} reports is stored")

    # --- The end ------------------------------------------------------------------------------

    def whole_logs(self) -> None:
        """Every log is still what was seen of it, from its first event on."""
        for story in self.stories.values():
            if story.removed_at is None:
                slice_ = at_once(self._store.read(story.key, 0, max_bytes=1 << 30))
                if slice_ is None or [event.frame for event in slice_.events] != story.frames:
                    self._violate("1.1.1", f"the log of {story.key.id} was rewritten")

    def kept(self, owner: Owner) -> list[str]:
        """The ids that a listing of this owner must show."""
        return [
            story.key.id
            for story in self.stories.values()
            if story.key.owner == owner and story.removed_at is None
        ]
