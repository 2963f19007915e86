# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longcall_server.core import lifecycle
from longcall_server.core.codes import RequestStatus
from longcall_server.core.lifecycle import (
    Cancel,
    CancelEffect,
    Fail,
    IllegalTransition,
    Overdue,
    Retry,
    RetryPolicy,
    Verdict,
)
from longcall_server.core.states import REQUEST_TERMINAL, REQUEST_TRANSITIONS, RequestEvent

NOW = 1_000_000


@dataclass(frozen=True)
class Request:
    """The facts of a request, without any store."""

    status: RequestStatus = RequestStatus.PROCESSING
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    attempt: int = 1
    failures: int = 0
    due_at: int = NOW
    deadline_at: int | None = None
    cancel_requested_at: int | None = None
    cancel_grace_ms: int = 10_000
    lease_expires_at: int | None = NOW + 30_000
    expires_at: int | None = None
    last_operation: int = 0
    ended_attempt: int = 0


RUNNING = Request()
QUEUED = Request(status=RequestStatus.QUEUED, attempt=0, lease_expires_at=None)


def half() -> float:
    return 0.5


# --- The table ------------------------------------------------------------------------------------


@pytest.mark.clause("5.8.3")
def test_every_step_is_one_of_the_table_and_no_other() -> None:
    for status, event in product(RequestStatus, RequestEvent):
        if (status, event) in REQUEST_TRANSITIONS:
            expected = REQUEST_TRANSITIONS[status, event]
            assert lifecycle.next_status(status, event) is expected
        else:
            with pytest.raises(IllegalTransition, match=f"{status}.*{event}"):
                lifecycle.next_status(status, event)


@pytest.mark.clause("5.8.3")
def test_nothing_leads_out_of_an_end() -> None:
    for status, event in product(REQUEST_TERMINAL, RequestEvent):
        with pytest.raises(IllegalTransition):
            lifecycle.next_status(status, event)


# --- Retries --------------------------------------------------------------------------------------


@pytest.mark.clause("5.4.5")
@pytest.mark.parametrize(
    ("failures", "bound"), [(1, 1_000), (2, 2_000), (3, 4_000), (7, 60_000), (500, 60_000)]
)
def test_the_wait_is_uniform_below_a_bound_that_doubles(failures: int, bound: int) -> None:
    policy = RetryPolicy()
    assert policy.delay_ms(failures, 0.0) == 0
    assert abs(policy.delay_ms(failures, 0.5) - bound // 2) <= 1
    assert policy.delay_ms(failures, 0.999_999_999) == bound


@given(st.integers(1, 200), st.floats(0, 1, exclude_max=True))
def test_no_wait_is_over_the_policys_maximum(failures: int, random: float) -> None:
    policy = RetryPolicy(max_attempts=9, backoff_initial_ms=7, backoff_max_ms=1_234)
    assert 0 <= policy.delay_ms(failures, random) <= 1_234


@pytest.mark.parametrize("fields", [(0, 1, 1), (1, -1, 1), (1, 1, -1)])
def test_a_policy_that_makes_no_sense_is_refused(fields: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        RetryPolicy(*fields)


@pytest.mark.clause("5.4.5", "5.4.8")
def test_a_failure_is_retried_until_the_attempts_are_used_up() -> None:
    request = RUNNING
    assert lifecycle.after_failure(request, NOW, half, retryable=True) == Retry(NOW + 500, 1)
    request = replace(request, failures=1)
    assert lifecycle.after_failure(request, NOW, half, retryable=True) == Retry(NOW + 1_000, 2)
    request = replace(request, failures=2)
    assert lifecycle.after_failure(request, NOW, half, retryable=True) == Fail(3)


@pytest.mark.clause("5.4.8")
def test_a_final_failure_is_not_retried() -> None:
    assert lifecycle.after_failure(RUNNING, NOW, half, retryable=False) == Fail(1)


@pytest.mark.clause("5.4.12")
def test_a_hand_back_counts_nothing_even_when_it_is_the_last_attempt() -> None:
    request = replace(RUNNING, policy=RetryPolicy(max_attempts=1))
    decision = lifecycle.after_failure(request, NOW, half, retryable=True, counted=False)
    assert decision == Retry(NOW, 0)


@pytest.mark.clause("10.14.1", "10.14.3")
def test_a_requested_cancel_comes_before_every_retry_and_failure() -> None:
    request = replace(RUNNING, cancel_requested_at=NOW - 1)
    for retryable, counted in product((True, False), repeat=2):
        decision = lifecycle.after_failure(request, NOW, half, retryable=retryable, counted=counted)
        assert decision == Cancel()


@pytest.mark.clause("5.4.10")
def test_a_dead_worker_costs_an_attempt_and_no_time() -> None:
    decision = lifecycle.after_lost_lease(RUNNING, NOW, half, worker_is_dead=True)
    assert decision == Retry(NOW, 1)


def test_a_silent_worker_costs_an_attempt_and_the_policys_wait() -> None:
    decision = lifecycle.after_lost_lease(RUNNING, NOW, half, worker_is_dead=False)
    assert decision == Retry(NOW + 500, 1)


def test_a_lost_lease_of_the_last_attempt_ends_the_request() -> None:
    request = replace(RUNNING, failures=2)
    decision = lifecycle.after_lost_lease(request, NOW, half, worker_is_dead=True)
    assert decision == Fail(3)


# --- Claims ---------------------------------------------------------------------------------------


def test_what_is_due_can_be_claimed() -> None:
    assert lifecycle.is_claimable(QUEUED, NOW)
    assert lifecycle.is_claimable(replace(QUEUED, status=RequestStatus.RETRYING), NOW)


@pytest.mark.clause("4.4.5", "10.14.1")
@pytest.mark.parametrize(
    "request_",
    [
        replace(QUEUED, due_at=NOW + 1),
        replace(QUEUED, deadline_at=NOW),
        replace(QUEUED, cancel_requested_at=NOW),
        *(replace(QUEUED, status=s) for s in (*REQUEST_TERMINAL, RequestStatus.PROCESSING)),
    ],
)
def test_what_is_early_late_cancelled_running_or_over_cannot_be_claimed(request_: Request) -> None:
    assert not lifecycle.is_claimable(request_, NOW)


# --- The fence ------------------------------------------------------------------------------------


@pytest.mark.clause("10.18.1", "10.18.2")
def test_the_running_attempt_may_append_and_repeat_its_newest_append() -> None:
    request = replace(RUNNING, last_operation=4)
    assert lifecycle.judge_append(request, 1, 5) is Verdict.WRITE
    assert lifecycle.judge_append(request, 1, 4) is Verdict.REPEATED
    for operation in (0, 3, 6):
        with pytest.raises(ValueError, match="does not follow 4"):
            lifecycle.judge_append(request, 1, operation)


@pytest.mark.clause("10.16.1")
@pytest.mark.parametrize("status", [s for s in RequestStatus if s != "processing"])
def test_nothing_is_appended_to_what_does_not_run(status: RequestStatus) -> None:
    assert lifecycle.judge_append(replace(RUNNING, status=status), 1, 1) is Verdict.FENCED


@pytest.mark.clause("5.4.4", "10.16.1")
def test_another_attempt_than_the_running_one_is_fenced() -> None:
    request = replace(RUNNING, attempt=2)
    for attempt in (1, 3):
        assert lifecycle.judge_append(request, attempt, 1) is Verdict.FENCED
        for completed in (True, False):
            verdict = lifecycle.judge_finish(request, attempt, completed=completed)
            assert verdict is Verdict.FENCED


@pytest.mark.clause("10.16.2")
def test_an_expired_lease_fences_nothing_by_itself() -> None:
    request = replace(RUNNING, lease_expires_at=0)
    assert lifecycle.judge_append(request, 1, 1) is Verdict.WRITE


@pytest.mark.clause("10.18.3")
def test_the_end_of_an_attempt_may_be_repeated_by_the_verb_that_ended_it() -> None:
    done = replace(RUNNING, status=RequestStatus.COMPLETED, ended_attempt=1)
    assert lifecycle.judge_finish(done, 1, completed=True) is Verdict.REPEATED
    assert lifecycle.judge_finish(done, 1, completed=False) is Verdict.FENCED
    for status in (RequestStatus.RETRYING, RequestStatus.FAILED, RequestStatus.CANCELLED):
        failed = replace(RUNNING, status=status, ended_attempt=1)
        assert lifecycle.judge_finish(failed, 1, completed=False) is Verdict.REPEATED
        assert lifecycle.judge_finish(failed, 1, completed=True) is Verdict.FENCED


def test_a_failure_is_still_a_repeat_after_the_next_attempt_completed() -> None:
    later = replace(RUNNING, status=RequestStatus.PROCESSING, attempt=2, ended_attempt=1)
    assert lifecycle.judge_finish(later, 1, completed=False) is Verdict.REPEATED
    assert lifecycle.judge_finish(later, 1, completed=True) is Verdict.FENCED
    assert lifecycle.judge_finish(later, 2, completed=True) is Verdict.WRITE


def test_an_end_from_outside_is_not_the_attempts_own() -> None:
    timed_out = replace(RUNNING, status=RequestStatus.FAILED)
    for completed in (True, False):
        verdict = lifecycle.judge_finish(timed_out, 1, completed=completed)
        assert verdict is Verdict.FENCED


# --- Cancel ---------------------------------------------------------------------------------------


@pytest.mark.clause("5.6.3", "10.14.2")
@pytest.mark.parametrize(
    ("status", "effect"),
    [
        (RequestStatus.QUEUED, CancelEffect.END),
        (RequestStatus.RETRYING, CancelEffect.END),
        (RequestStatus.PROCESSING, CancelEffect.MARK),
        (RequestStatus.COMPLETED, CancelEffect.NOTHING),
        (RequestStatus.FAILED, CancelEffect.NOTHING),
        (RequestStatus.CANCELLED, CancelEffect.NOTHING),
    ],
)
def test_a_cancel_ends_what_waits_and_marks_what_runs(
    status: RequestStatus, effect: CancelEffect
) -> None:
    assert lifecycle.on_cancel(replace(RUNNING, status=status)) is effect


@pytest.mark.clause("5.6.7")
def test_a_second_cancel_does_nothing() -> None:
    request = replace(RUNNING, cancel_requested_at=NOW)
    assert lifecycle.on_cancel(request) is CancelEffect.NOTHING


# --- The sweep ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "at", "what"),
    [
        (RUNNING, NOW + 30_000, Overdue.LOST_LEASE),
        (replace(RUNNING, deadline_at=NOW + 5), NOW + 5, Overdue.TIME_OUT),
        (replace(QUEUED, deadline_at=NOW + 5), NOW + 5, Overdue.TIME_OUT),
        (replace(RUNNING, cancel_requested_at=NOW), NOW + 10_000, Overdue.CANCEL),
        (
            replace(RUNNING, status=RequestStatus.FAILED, expires_at=NOW + 5, deadline_at=NOW),
            NOW + 5,
            Overdue.REMOVE,
        ),
    ],
)
def test_a_sweep_comes_exactly_when_something_is_due(
    request_: Request, at: int, what: Overdue
) -> None:
    assert lifecycle.next_sweep_at(request_) == at
    assert lifecycle.overdue(request_, at - 1) is None
    assert lifecycle.overdue(request_, at) is what


def test_time_alone_does_nothing_to_a_queued_request_without_a_deadline() -> None:
    assert lifecycle.next_sweep_at(QUEUED) is None
    assert lifecycle.overdue(QUEUED, NOW * 1_000) is None


def test_an_end_that_is_due_comes_before_the_lost_lease() -> None:
    late = NOW * 2
    assert lifecycle.overdue(replace(RUNNING, deadline_at=NOW), late) is Overdue.TIME_OUT
    cancelled = replace(RUNNING, deadline_at=NOW, cancel_requested_at=NOW)
    assert lifecycle.overdue(cancelled, late) is Overdue.CANCEL


@given(
    status=st.sampled_from(list(RequestStatus)),
    deadline_at=st.none() | st.integers(0, 100),
    cancel_requested_at=st.none() | st.integers(0, 100),
    lease_expires_at=st.none() | st.integers(0, 100),
    expires_at=st.none() | st.integers(0, 100),
    now=st.integers(0, 200),
)
def test_something_is_overdue_exactly_from_the_next_sweep_on(now: int, **facts: object) -> None:
    request = replace(RUNNING, cancel_grace_ms=10, **facts)  # type: ignore[arg-type]
    at = lifecycle.next_sweep_at(request)
    assert (lifecycle.overdue(request, now) is not None) == (at is not None and at <= now)


# --- Errors ---------------------------------------------------------------------------------------


@pytest.mark.clause("7.2.1")
def test_the_errors_of_a_store_are_error_infos() -> None:
    texts = [
        lifecycle.cancelled_error("wegen „Größe“"),
        lifecycle.cancelled_error(None),
        lifecycle.deadline_error(),
        lifecycle.lost_lease_error(2),
        lifecycle.log_full_error(1_000),
    ]
    infos = [json.loads(text) for text in texts]
    codes = ["CANCELLED", "CANCELLED", "TIMEOUT", "INTERNAL_ERROR", "RESOURCE_EXHAUSTED"]
    assert [info["code"] for info in infos] == codes
    assert infos[0]["details"] == {"reason": "wegen „Größe“"}
    assert "details" not in infos[1]
    assert not any(info["retryable"] for info in infos)


@pytest.mark.clause("10.44.4")
def test_every_error_of_a_store_fits_into_the_room_that_is_kept_for_it() -> None:
    longest_reason = "\x01" * 512
    assert len(lifecycle.cancelled_error(longest_reason)) + 400 < lifecycle.TERMINAL_ROOM
