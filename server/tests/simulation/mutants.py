# SPDX-License-Identifier: Apache-2.0
"""Bugs that the simulation must find, each of which breaks one rule of the protocol."""

from __future__ import annotations

from typing import Final

from simulation.planting import Mutant

_LIFECYCLE = "core.lifecycle"
_CHANGES = "stores.changes"
_MEMORY = "stores.memory:MemoryStore"
_FEED = "gateway.feed"
_SERVICE = "requests:RequestService"
_WORKER = "worker.worker:Worker"
_LEASES = "worker.leases:Leases"

MUTANTS: Final = (
    # --- Who may write ----------------------------------------------------------------------------
    Mutant(
        "a lost attempt may write",
        "10.16.1",
        f"{_LIFECYCLE}:holds_attempt",
        " and facts.attempt == attempt",
        "",
    ),
    Mutant(
        "an attempt may write after the end",
        "10.20.2, 10.21.1",
        f"{_LIFECYCLE}:judge_append",
        "if not holds_attempt(facts, attempt)",
        "if facts.attempt != attempt",
    ),
    Mutant(
        "a repeated append is written twice",
        "10.18.2",
        f"{_LIFECYCLE}:judge_append",
        "operation == facts.last_operation + 1",
        "operation in (facts.last_operation, facts.last_operation + 1)",
    ),
    Mutant(
        "a repeated end is refused",
        "10.18.3",
        f"{_LIFECYCLE}:judge_finish",
        "return Verdict.REPEATED",
        "return Verdict.FENCED",
    ),
    Mutant(
        "a fenced attempt keeps its lease",
        "10.16.1",
        f"{_CHANGES}:renewed",
        "not lifecycle.holds_attempt(record, lease.attempt)",
        "record.lease_worker is None",
    ),
    Mutant(
        "the sequence restarts with an attempt",
        "1.1.1",
        f"{_CHANGES}:_logged",
        "seq = record.last_seq",
        'seq = 0 if "lease_worker" in also and also.get("attempt", 0) > 1 else record.last_seq',
    ),
    # --- Attempts and retries ---------------------------------------------------------------------
    Mutant(
        "an attempt number is used again",
        "10.17.1",
        f"{_CHANGES}:Changes.claimed",
        "attempt = record.attempt + 1",
        "attempt = record.failures + 1",
    ),
    Mutant(
        "a retry does not wait",
        "5.4.6",
        f"{_CHANGES}:Changes._attempt_over",
        "due_at=decision.at",
        "due_at=now",
    ),
    Mutant(
        "one attempt more than the policy allows",
        "5.4.8",
        f"{_LIFECYCLE}:after_failure",
        "failures >= facts.policy.max_attempts",
        "failures > facts.policy.max_attempts",
    ),
    Mutant(
        "a lost lease counts for nothing",
        "10.17.3",
        f"{_LIFECYCLE}:after_lost_lease",
        "retryable=True, ",
        "retryable=True, counted=False, ",
    ),
    Mutant(
        "a hand-back counts as a failure",
        "5.4.12",
        f"{_WORKER}._write_down",
        "counted=False",
        "counted=True",
    ),
    Mutant(
        "a lease never ends",
        "5.4.2",
        f"{_LIFECYCLE}:_appointments",
        "if facts.lease_expires_at is not None",
        "if facts.lease_expires_at is None",
    ),
    Mutant(
        "a limit of an action is passed by one",
        "5.4.14",
        "core.scheduling:_Counts.has_room_for",
        "self._of_action[action] < limit",
        "self._of_action[action] <= limit",
    ),
    Mutant(
        "a limit of an owner is passed by one",
        "5.4.14",
        "core.scheduling:_Counts.has_room_of_owner",
        "number < limit",
        "number <= limit",
    ),
    Mutant(
        "a tenant may have one more waiting than its limit",
        "6.6.10, 10.45.7",
        f"{_MEMORY}.submit",
        ">= self._limits.max_waiting_per_tenant",
        "> self._limits.max_waiting_per_tenant",
    ),
    # --- Chunks and checkpoints -------------------------------------------------------------------
    Mutant(
        "the chunk of a checkpoint is voided with the rest",
        "10.19.1",
        f"{_CHANGES}:Changes.appended",
        "chunks_kept_to=change.record.last_seq",
        "chunks_kept_to=record.last_seq",
    ),
    Mutant(
        "an attempt does not say what stands",
        "10.19.1",
        "core.events:processing",
        '"chunks_kept_to":{chunks_kept_to}',
        '"chunks_kept_to":0',
    ),
    Mutant(
        "a checkpoint is not kept",
        "5.5.1, 5.5.2",
        f"{_MEMORY}.append",
        "row.checkpoint = checkpoint",
        "pass",
    ),
    # --- Cancel and deadline ----------------------------------------------------------------------
    Mutant(
        "what waits is not ended by its cancel",
        "5.6.3, 10.14.2",
        f"{_LIFECYCLE}:on_cancel",
        "if facts.status in WAITING else CancelEffect.MARK",
        "if facts.status is RequestStatus.RETRYING else CancelEffect.MARK",
    ),
    Mutant(
        "a second cancel takes the place of the first",
        "10.14.6",
        f"{_LIFECYCLE}:on_cancel",
        " or facts.cancel_requested_at is not None",
        "",
    ),
    Mutant(
        "a cancelled request that fails is retried",
        "10.14.3",
        f"{_LIFECYCLE}:after_failure",
        "if facts.cancel_requested_at is not None",
        "if False",
    ),
    Mutant(
        "the grace of a cancel has no end",
        "5.6.5, 10.14.5",
        f"{_LIFECYCLE}:_appointments",
        "facts.cancel_requested_at + facts.cancel_grace_ms",
        "facts.cancel_requested_at + 100 * facts.cancel_grace_ms",
    ),
    Mutant(
        "the handler does not hear of its cancel",
        "5.6.4",
        f"{_LEASES}._renewed",
        "if answer.cancel_requested",
        "if False",
    ),
    Mutant(
        "a cancel is answered before it is committed",
        "10.15.1",
        f"{_SERVICE}.cancel",
        "self._store.request_cancel(key, reason)",
        "self.find(key)",
    ),
    Mutant(
        "a deadline ends nothing",
        "5.7.1",
        f"{_LIFECYCLE}:_appointments",
        "if facts.deadline_at is not None",
        "if facts.deadline_at is not None and facts.status is RequestStatus.PROCESSING",
    ),
    Mutant(
        "a deadline counts from the end of the delay",
        "10.22.1, 10.22.2",
        f"{_CHANGES}:created",
        "created_at + new.deadline_ms",
        "created_at + new.delay_ms + new.deadline_ms",
    ),
    # --- Ids --------------------------------------------------------------------------------------
    Mutant(
        "another request under a used id is taken for the same",
        "5.1.6, 10.23.1",
        f"{_CHANGES}:submitted_before",
        "same = record.digest == new.digest",
        "same = True",
    ),
    Mutant(
        "a quick request is not looked up",
        "10.5.1",
        f"{_SERVICE}.submit",
        "known = await self._known(key, message)",
        "known = None",
    ),
    Mutant(
        "a request that is sent again runs unstored",
        "10.6.2",
        "admission:is_quick",
        "and (message.resend is MISSING or not message.resend)",
        "",
    ),
    Mutant(
        "an expired id is a new one",
        "10.31.2",
        f"{_MEMORY}.submit",
        "if new.key in self._tombstones",
        "if False",
    ),
    Mutant(
        "a removed log leaves no id behind",
        "10.31.1",
        f"{_MEMORY}._remove",
        "self._tombstones[record.key] = stone",
        "pass",
    ),
    Mutant(
        "a log is removed too early",
        "5.9.1",
        f"{_CHANGES}:_ended",
        "now + record.retention_ms",
        "now + record.retention_ms // 2",
    ),
    Mutant(
        "one request more in flight than allowed",
        "10.45.1",
        f"{_MEMORY}.submit",
        ">= max_in_flight",
        "> max_in_flight",
    ),
    # --- Outcomes that are not known, and quick requests ------------------------------------------
    Mutant(
        "a write with an unknown outcome is refused",
        "10.3.1",
        f"{_SERVICE}._store_first",
        "patience_ms=self._settings.patience_ms",
        "patience_ms=0",
        ("except StoreUnavailable", "except (StoreUnavailable, OutcomeUnknown)"),
    ),
    Mutant(
        "a response after promotion has begun",
        "10.8.2",
        "quick:QuickRun._handler_ended",
        "if self._promotion is not None or self.is_answered",
        "if self.is_answered",
    ),
    # --- Sizes ------------------------------------------------------------------------------------
    Mutant(
        "a log keeps no room for its end",
        "10.44.3, 10.44.4",
        f"{_LIFECYCLE}:has_room",
        "log_bytes + size + keep",
        "log_bytes + size",
    ),
    Mutant(
        "a handler may complete although its log is full",
        "10.44.3",
        "executor.execution:Execution._call",
        "if self.attempt.fatal is not None",
        "if False",
    ),
    # --- Progress ---------------------------------------------------------------------------------
    Mutant(
        "the end does not store the newest progress",
        "10.35.1",
        f"{_CHANGES}:Changes.completed",
        "_newest(record.progress, progress)",
        "record.progress",
    ),
    Mutant(
        "the newest progress is not sent before the end",
        "10.35.2",
        "core.cursors:Cursor.frames",
        "yield from self._last_progress(progress)",
        "pass",
    ),
    Mutant(
        "older progress is sent behind newer",
        "10.36.1",
        "core.progress:ProgressGate.offer",
        "return False",
        "pass",
    ),
    # --- Connections ------------------------------------------------------------------------------
    Mutant(
        "messages of one id overtake each other",
        "10.1.1",
        "gateway.decider:Decider.decide",
        "self._lanes.run(lane, partial(self._guarded, message, work, size))",
        "self._lanes.spawn(partial(self._guarded, message, work, size))",
    ),
    Mutant(
        "event 2 is skipped behind an acknowledgment",
        "10.24.2",
        f"{_FEED}:Feed.acknowledge",
        "record.record_id, 1,",
        "record.record_id, 2,",
    ),
    Mutant(
        "a duplicate is acknowledged as new",
        "10.24.1",
        f"{_FEED}:acknowledgment",
        "events.with_duplicate(frame) if duplicate else frame",
        "frame",
    ),
    Mutant(
        "an attach always reads from the start",
        "10.25.2",
        f"{_FEED}:Feed.attach",
        "message.after_seq,",
        "0,",
    ),
    Mutant(
        "a position beyond the end is accepted",
        "10.29.1",
        f"{_SERVICE}.attach",
        "if message.after_seq > last_seq",
        "if False",
    ),
    Mutant(
        "a followed log is read when the bell rings, and only then",
        "10.34.1",
        f"{_FEED}:Feed.handle_timeout",
        "if self._poll_at is not None and now >= self._poll_at",
        "if False",
    ),
    Mutant(
        "a follower is forgotten while its answer is decided",
        "10.25.2, 10.34.1",
        f"{_FEED}:Feed._forget",
        "if follower.holds > 0",
        "if False",
    ),
    Mutant(
        "a reader is not told that its log was removed",
        "10.33.2",
        f"{_FEED}:Feed._send_lost",
        "await self._outbox.send(frames.refusal(answers.not_found().error, answered))",
        "pass",
    ),
    Mutant(
        "a listing shows the last of a page again",
        "10.47.4",
        f"{_MEMORY}.list",
        "(row.record.created_at, id) < before",
        "(row.record.created_at, id) <= before",
    ),
)
