from __future__ import annotations

from dataclasses import replace

import pytest

from services.router.core.failures import PERMANENT, QUOTA, TRANSIENT, Failure, FailureClass
from services.router.core.model import SwitchPolicy
from services.router.core.switching import (
    Filtered,
    Move,
    Situation,
    Stay,
    Surface,
    after_failure,
)

FRESH = Situation(
    retries_done=0, retries_allowed=1, can_move=True, can_repeat=True, time_left_s=None
)
SPENT = replace(FRESH, retries_done=1)
ALONE = replace(FRESH, can_move=False)
POLICY = SwitchPolicy()


@pytest.mark.parametrize("kind", [k for k in FailureClass if k in QUOTA])
def test_a_refusal_for_quota_or_load_moves(kind: FailureClass) -> None:
    assert after_failure(Failure(kind, retry_after_s=2.0), POLICY, FRESH) == Move()


@pytest.mark.parametrize("kind", [k for k in FailureClass if k in QUOTA])
def test_with_nowhere_to_go_a_short_hint_is_sat_out(kind: FailureClass) -> None:
    assert after_failure(Failure(kind, retry_after_s=2.0), POLICY, ALONE) == Stay(2.0)


@pytest.mark.parametrize(
    "situation",
    [
        replace(ALONE, time_left_s=2.0),
        replace(ALONE, retries_done=1),
        replace(ALONE, can_repeat=False),
        replace(ALONE, retries_allowed=0),
    ],
    ids=["deadline", "repeated", "attempts spent", "no repeats"],
)
def test_a_hint_that_cannot_be_sat_out_surfaces(situation: Situation) -> None:
    # given a hint of 2 s
    refusal = Failure(FailureClass.RATE_LIMIT, retry_after_s=2.0)

    # when, then
    assert after_failure(refusal, POLICY, situation) == Surface(wanted_to_move=True)


@pytest.mark.parametrize("hint_s", [10.001, 120.0, None])
def test_nobody_sleeps_beyond_10_s_or_without_a_hint(hint_s: float | None) -> None:
    # given
    refusal = Failure(FailureClass.RATE_LIMIT, retry_after_s=hint_s)

    # when, then
    assert after_failure(refusal, POLICY, ALONE) == Surface(wanted_to_move=True)


def test_a_hint_below_the_threshold_is_sat_out_although_others_are_free() -> None:
    # given
    switch = SwitchPolicy(quota_threshold_s=5.0)

    # when, then
    def step(hint_s: float | None) -> object:
        return after_failure(Failure(FailureClass.OVERLOADED, retry_after_s=hint_s), switch, FRESH)

    assert step(4.0) == Stay(4.0)
    assert step(5.0) == Move()
    assert step(None) == Move()


def test_a_long_hint_below_the_threshold_surfaces_as_the_providers_own() -> None:
    # given
    switch = SwitchPolicy(quota_threshold_s=60.0)
    refusal = Failure(FailureClass.RATE_LIMIT, retry_after_s=30.0)

    # when, then
    assert after_failure(refusal, switch, FRESH) == Surface(wanted_to_move=False)


def test_a_pool_that_does_not_move_on_quota_surfaces() -> None:
    # given
    refusal = Failure(FailureClass.RATE_LIMIT, retry_after_s=30.0)

    # when, then
    assert after_failure(refusal, SwitchPolicy(on_quota=False), FRESH) == Surface()


@pytest.mark.parametrize("kind", [k for k in FailureClass if k in PERMANENT])
def test_what_no_repeat_cures_moves_by_on_permanent(kind: FailureClass) -> None:
    assert after_failure(Failure(kind), POLICY, FRESH) == Move()
    assert after_failure(Failure(kind), POLICY, ALONE) == Surface(wanted_to_move=True)
    assert after_failure(Failure(kind), SwitchPolicy(on_permanent=False), FRESH) == Surface()


@pytest.mark.parametrize("kind", [k for k in FailureClass if k in TRANSIENT])
def test_a_members_own_fault_is_repeated_on_it_and_never_moves(kind: FailureClass) -> None:
    assert after_failure(Failure(kind), POLICY, FRESH) == Stay(0.0)
    assert after_failure(Failure(kind), POLICY, SPENT) == Surface()


def test_a_pool_may_move_once_the_repeats_are_spent() -> None:
    # given
    switch = SwitchPolicy(on_retry_exhausted=True)
    fault = Failure(FailureClass.SERVER_ERROR, 500)

    # when, then
    assert after_failure(fault, switch, FRESH) == Stay(0.0)
    assert after_failure(fault, switch, SPENT) == Move()
    nowhere = replace(SPENT, can_move=False)
    assert after_failure(fault, switch, nowhere) == Surface(wanted_to_move=True)


def test_later_repeats_wait_longer_up_to_4_s() -> None:
    # given a pool that grants ten repeats
    fault = Failure(FailureClass.SERVER_ERROR, 500)

    # when
    steps = [
        after_failure(fault, POLICY, replace(FRESH, retries_done=done, retries_allowed=10))
        for done in range(7)
    ]

    # then
    waits = [step.delay_s for step in steps if isinstance(step, Stay)]
    assert waits == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 4.0]


def test_the_total_clock_leaves_no_time_for_another_try() -> None:
    assert after_failure(Failure(FailureClass.TIMEOUT_TOTAL), POLICY, FRESH) == Surface()


@pytest.mark.parametrize(
    "kind",
    [
        FailureClass.INVALID_REQUEST,
        FailureClass.CONTEXT_LENGTH,
        FailureClass.CANCELLED,
        FailureClass.LOCAL_SHED,
    ],
)
def test_what_is_nobodys_fault_here_surfaces(kind: FailureClass) -> None:
    assert after_failure(Failure(kind), POLICY, FRESH) == Surface()


def test_refused_content_is_an_answer() -> None:
    assert after_failure(Failure(FailureClass.CONTENT_POLICY), POLICY, FRESH) == Filtered()
