from __future__ import annotations

from dataclasses import replace

import pytest

from services.router.core.failures import PERMANENT, QUOTA, TRANSIENT, Failure, FailureClass
from services.router.core.model import SwitchPolicy
from services.router.core.switching import (
    FailOver,
    Remaining,
    RetryInPlace,
    ReturnError,
    ReturnRefusal,
    Step,
    WaitInPlace,
    next_step,
)

FRESH = Remaining(
    retries_done=0,
    retries_allowed=1,
    can_fail_over=True,
    can_repeat=True,
    wait_left_s=10.0,
    time_left_s=None,
)
SPENT = replace(FRESH, retries_done=1)
ALONE = replace(FRESH, can_fail_over=False)
POLICY = SwitchPolicy()
FROM_5_S, FROM_60_S = SwitchPolicy(quota_threshold_s=5.0), SwitchPolicy(quota_threshold_s=60.0)
NO_MEMBER = ReturnError(no_member_left=True)


@pytest.mark.parametrize("kind", [k for k in FailureClass if k in QUOTA])
def test_a_refusal_for_quota_or_load_fails_over(kind: FailureClass) -> None:
    assert next_step(Failure(kind, retry_after_s=2.0), POLICY, FRESH) == FailOver()


@pytest.mark.parametrize("kind", [k for k in FailureClass if k in QUOTA])
def test_without_another_member_a_short_hint_is_waited_for(kind: FailureClass) -> None:
    assert next_step(Failure(kind, retry_after_s=2.0), POLICY, ALONE) == WaitInPlace(2.0)


def limited(hint_s: float | None) -> Failure:
    return Failure(FailureClass.RATE_LIMIT, retry_after_s=hint_s)


def overloaded(hint_s: float | None) -> Failure:
    return Failure(FailureClass.OVERLOADED, retry_after_s=hint_s)


REFUSALS = {
    "hint up to the deadline": (limited(2.0), POLICY, replace(ALONE, time_left_s=2.0), NO_MEMBER),
    "hint after a retry": (limited(2.0), POLICY, replace(ALONE, retries_done=1), WaitInPlace(2.0)),
    "hint, once waited for": (limited(0.0), POLICY, replace(ALONE, waited=True), NO_MEMBER),
    "no hint without a wait": (limited(0.0), POLICY, replace(ALONE, wait_left_s=0.0), NO_MEMBER),
    "hint within the wait": (
        limited(3.0),
        POLICY,
        replace(ALONE, wait_left_s=3.0),
        WaitInPlace(3.0),
    ),
    "hint beyond the wait": (limited(3.1), POLICY, replace(ALONE, wait_left_s=3.0), NO_MEMBER),
    "hint, attempts spent": (limited(2.0), POLICY, replace(ALONE, can_repeat=False), NO_MEMBER),
    "hint without retries": (
        limited(2.0),
        POLICY,
        replace(ALONE, retries_allowed=0),
        WaitInPlace(2.0),
    ),
    "no wait beyond 10 s": (limited(10.001), POLICY, ALONE, NO_MEMBER),
    "no wait of minutes": (limited(120.0), POLICY, ALONE, NO_MEMBER),
    "no wait without a hint": (limited(None), POLICY, ALONE, NO_MEMBER),
    "hint below the threshold": (overloaded(4.0), FROM_5_S, FRESH, WaitInPlace(4.0)),
    "hint at the threshold": (overloaded(5.0), FROM_5_S, FRESH, FailOver()),
    "threshold without a hint": (overloaded(None), FROM_5_S, FRESH, FailOver()),
    "long hint below the threshold": (limited(30.0), FROM_60_S, FRESH, ReturnError()),
    "without on_quota": (limited(30.0), SwitchPolicy(on_quota=False), FRESH, ReturnError()),
}


@pytest.mark.parametrize(
    ("refusal", "switch", "remaining", "step"), REFUSALS.values(), ids=REFUSALS
)
def test_a_refusal_is_waited_for_or_fails_over_or_is_returned(
    refusal: Failure, switch: SwitchPolicy, remaining: Remaining, step: Step
) -> None:
    assert next_step(refusal, switch, remaining) == step


@pytest.mark.parametrize("kind", [k for k in FailureClass if k in PERMANENT])
def test_a_permanent_failure_fails_over_with_on_permanent(kind: FailureClass) -> None:
    assert next_step(Failure(kind), POLICY, FRESH) == FailOver()
    assert next_step(Failure(kind), POLICY, ALONE) == NO_MEMBER
    assert next_step(Failure(kind), SwitchPolicy(on_permanent=False), FRESH) == ReturnError()


@pytest.mark.parametrize("kind", [k for k in FailureClass if k in TRANSIENT])
def test_a_transient_failure_is_retried_in_place_only(kind: FailureClass) -> None:
    assert next_step(Failure(kind), POLICY, FRESH) == RetryInPlace(0.0)
    assert next_step(Failure(kind), POLICY, SPENT) == ReturnError()


@pytest.mark.parametrize(
    ("fault", "switch", "step"),
    [
        (Failure(FailureClass.SERVER_ERROR, 500, 2.0), POLICY, RetryInPlace(2.0)),
        (Failure(FailureClass.SERVER_ERROR, 500, 10.0), POLICY, RetryInPlace(10.0)),
        (Failure(FailureClass.SERVER_ERROR, 500, 10.001), POLICY, ReturnError()),
        (Failure(FailureClass.SERVER_ERROR, 500, repeatable=False), POLICY, ReturnError()),
        (
            Failure(FailureClass.SERVER_ERROR, 500, repeatable=False),
            SwitchPolicy(on_retry_exhausted=True),
            FailOver(),
        ),
        (Failure(FailureClass.RATE_LIMIT, 429, 2.0, repeatable=False), FROM_60_S, ReturnError()),
    ],
    ids=[
        "hint",
        "longest hint",
        "longer",
        "no repeat",
        "no repeat, but a move",
        "limit, no repeat",
    ],
)
def test_a_provider_says_when_and_whether_to_repeat(
    fault: Failure, switch: SwitchPolicy, step: Step
) -> None:
    assert next_step(fault, switch, FRESH) == step


def test_without_time_to_wait_only_a_failure_without_a_hint_is_repeated() -> None:
    # given a call that waits for no hint
    hinted, plain = (Failure(FailureClass.SERVER_ERROR, 500, hint_s) for hint_s in (1.0, None))
    remaining = replace(FRESH, wait_left_s=0.0)

    # when, then
    assert next_step(hinted, POLICY, remaining) == ReturnError()
    assert next_step(plain, POLICY, remaining) == RetryInPlace(0.0)


def test_with_on_retry_exhausted_a_transient_failure_fails_over() -> None:
    # given
    switch = SwitchPolicy(on_retry_exhausted=True)
    fault = Failure(FailureClass.SERVER_ERROR, 500)

    # when, then
    assert next_step(fault, switch, FRESH) == RetryInPlace(0.0)
    assert next_step(fault, switch, SPENT) == FailOver()
    nowhere = replace(SPENT, can_fail_over=False)
    assert next_step(fault, switch, nowhere) == NO_MEMBER


def test_a_pause_is_shortened_to_its_half_at_most_and_a_hint_never() -> None:
    # given
    fault, hint = Failure(FailureClass.SERVER_ERROR, 500), limited(2.0)
    third = replace(FRESH, retries_done=2, retries_allowed=3)

    # when, then
    assert next_step(fault, POLICY, replace(third, draw=0.0)) == RetryInPlace(0.25)
    assert next_step(fault, POLICY, replace(third, draw=0.5)) == RetryInPlace(0.375)
    assert next_step(fault, POLICY, replace(third, draw=1.0)) == RetryInPlace(0.5)
    assert next_step(hint, POLICY, replace(ALONE, draw=0.0)) == WaitInPlace(2.0)


# Other calls have opened the circuit of the member.
OPENED = replace(FRESH, can_repeat=False, circuit_opened=True)
KEEPS = SwitchPolicy(on_circuit_open=False)


@pytest.mark.parametrize(
    "failure", [Failure(FailureClass.SERVER_ERROR, 500), limited(2.0)], ids=["fault", "limit"]
)
def test_a_circuit_that_opened_in_the_meantime_fails_over_in_place_of_the_retry(
    failure: Failure,
) -> None:
    # given a pool that waits out hints below 60 s
    moves, keeps = replace(FROM_60_S, on_circuit_open=True), replace(KEEPS, quota_threshold_s=60.0)

    # when, then
    assert next_step(failure, moves, OPENED) == FailOver()
    assert next_step(failure, moves, replace(OPENED, can_fail_over=False)) == NO_MEMBER
    assert next_step(failure, keeps, OPENED) == ReturnError()


def test_later_retries_wait_longer_up_to_4_s() -> None:
    # given a pool that grants ten repeats
    fault = Failure(FailureClass.SERVER_ERROR, 500)

    # when
    steps = [
        next_step(fault, POLICY, replace(FRESH, retries_done=done, retries_allowed=10))
        for done in range(7)
    ]

    # then
    waits = [step.delay_s for step in steps if isinstance(step, RetryInPlace)]
    assert waits == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 4.0]


@pytest.mark.parametrize(
    "kind",
    [
        FailureClass.INVALID_REQUEST,
        FailureClass.CONTEXT_LENGTH,
        FailureClass.CANCELLED,
        FailureClass.TIMEOUT_TOTAL,
    ],
)
def test_a_failure_of_the_request_or_of_its_time_is_returned(kind: FailureClass) -> None:
    assert next_step(Failure(kind), POLICY, FRESH) == ReturnError()


def test_refused_content_is_no_error() -> None:
    assert next_step(Failure(FailureClass.CONTENT_POLICY), POLICY, FRESH) == ReturnRefusal()
