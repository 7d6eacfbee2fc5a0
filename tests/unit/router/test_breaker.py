from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.router.core.breaker import (
    Breaker,
    BreakerState,
    CallResult,
    Permit,
    admit,
    after_result,
    allows,
    as_of,
    cleared,
    probe_at,
    result_of,
)
from services.router.core.failures import FailureClass
from services.router.core.model import BreakerPolicy
from tests.unit.router.builders import at

# Opens at 2 failures, for 10 s, with 1 probe at a time; a probe is leased for 65 s.
POLICY = BreakerPolicy(failure_threshold=2, cooldown_s=10.0)
LEASE_S = 65.0
SUCCESS, FAILURE, NEUTRAL = CallResult.SUCCESS, CallResult.FAILURE, CallResult.NEUTRAL


def called(
    breaker: Breaker, result: CallResult, at_s: float, policy: BreakerPolicy = POLICY
) -> Breaker:
    """After a call that is let through and ends at the same instant."""
    entered, permit = admit(breaker, policy, at(at_s), LEASE_S)
    assert permit is not None
    return after_result(entered, policy, permit, result, at(at_s))


def opened(at_s: float = 0.0) -> Breaker:
    return called(called(Breaker(), FAILURE, at_s), FAILURE, at_s)


def probing(at_s: float = 10.0) -> tuple[Breaker, Permit]:
    """Opened at 0 s, with a probe in flight since ``at_s``."""
    breaker, permit = admit(opened(), POLICY, at(at_s), LEASE_S)
    assert permit is not None
    return breaker, permit


def test_a_reset_closes_a_breaker_and_ignores_calls_from_before_it() -> None:
    # given a probe in flight
    breaker, permit = probing()

    # when
    after = cleared(breaker)

    # then
    assert after == Breaker(generation=3)
    assert after_result(after, POLICY, permit, FAILURE, at(20)) == after
    assert cleared(called(Breaker(), FAILURE, 0)) == Breaker(generation=1)


def test_a_reset_of_a_breaker_without_failures_changes_nothing() -> None:
    assert cleared(Breaker(generation=3)) == Breaker(generation=3)


def test_the_defaults_are_5_failures_30_s_and_1_probe() -> None:
    assert BreakerPolicy() == BreakerPolicy(5, 30.0, 1)


def test_an_unknown_member_is_let_through() -> None:
    assert admit(Breaker(), POLICY, at(0), LEASE_S) == (Breaker(), Permit(0))


def test_a_success_of_an_unknown_member_changes_nothing() -> None:
    assert called(Breaker(), SUCCESS, 0) == Breaker()


def test_it_opens_at_exactly_the_threshold() -> None:
    # given
    once = called(Breaker(), FAILURE, 0)

    # when
    twice = called(once, FAILURE, 3)

    # then
    assert (once.state, once.consecutive_failures, once.generation) == (BreakerState.CLOSED, 1, 0)
    assert (twice.state, twice.consecutive_failures, twice.generation) == (BreakerState.OPEN, 2, 1)
    assert twice.opened_at == at(3)
    assert admit(twice, POLICY, at(3), LEASE_S) == (twice, None)


def test_a_success_in_between_starts_the_count_again() -> None:
    # given
    recovered = called(called(Breaker(), FAILURE, 0), SUCCESS, 1)

    # when, then
    assert called(recovered, FAILURE, 2).state is BreakerState.CLOSED


def test_a_neutral_result_neither_counts_nor_starts_the_count_again() -> None:
    # given
    once = called(Breaker(), FAILURE, 0)

    # when
    still_once = called(once, NEUTRAL, 1)

    # then
    assert still_once == once
    assert called(still_once, FAILURE, 2).state is BreakerState.OPEN


def test_the_end_of_the_cooldown_lets_a_probe_through() -> None:
    # given a breaker opened at 0 s for 10 s
    breaker = opened()

    # when, then
    assert probe_at(breaker, POLICY) == at(10)
    assert not allows(breaker, POLICY, at(9.999))
    assert allows(breaker, POLICY, at(10))


def test_the_call_that_ends_the_cooldown_is_the_first_probe() -> None:
    # when
    breaker, permit = probing()

    # then no second one is let through
    assert permit == Permit(2, probe=True)
    assert (breaker.state, breaker.generation) == (BreakerState.HALF_OPEN, 2)
    assert breaker.leases == (at(75),)
    assert admit(breaker, POLICY, at(11), LEASE_S) == (breaker, None)
    assert probe_at(breaker, POLICY) is None


def test_half_open_max_probes_are_let_through() -> None:
    # given room for two probes
    policy = BreakerPolicy(failure_threshold=2, cooldown_s=10.0, half_open_max=2)
    first, _ = admit(opened(), policy, at(10), LEASE_S)

    # when
    second, permit = admit(first, policy, at(12), LEASE_S)
    third, refused = admit(second, policy, at(13), LEASE_S)

    # then
    assert permit == Permit(2, probe=True)
    assert second.leases == (at(75), at(77))
    assert (third, refused) == (second, None)


def test_to_ask_takes_no_probe() -> None:
    # given
    breaker = opened()

    # when
    asked = [allows(breaker, POLICY, at(10)) for _ in range(5)]

    # then
    assert asked == [True] * 5
    assert breaker.state is BreakerState.OPEN


def test_one_success_of_a_probe_closes_it() -> None:
    # given
    breaker, permit = probing()

    # when
    closed = after_result(breaker, POLICY, permit, SUCCESS, at(20))

    # then it takes the threshold to open it again
    assert closed == Breaker(generation=3)
    assert called(closed, FAILURE, 21).state is BreakerState.CLOSED


def test_one_failure_of_a_probe_opens_it_at_once() -> None:
    # given a pool whose threshold was raised in the meantime
    breaker, permit = probing()
    raised = BreakerPolicy(failure_threshold=9, cooldown_s=10.0)

    # when
    again = after_result(breaker, raised, permit, FAILURE, at(20))

    # then
    assert again == Breaker(BreakerState.OPEN, 3, 3, at(20))
    assert not allows(again, POLICY, at(29.999))
    assert allows(again, POLICY, at(30))


def test_a_probe_that_ends_neutral_opens_it_again_without_counting() -> None:
    # given
    breaker, permit = probing()

    # when
    again = after_result(breaker, POLICY, permit, NEUTRAL, at(20))

    # then
    assert again == Breaker(BreakerState.OPEN, 3, 2, at(20))


def test_a_probe_whose_lease_expires_opens_it_again_without_counting() -> None:
    # given a probe leased until 75 s
    breaker, permit = probing()

    # when
    before, expired = as_of(breaker, at(74.999)), as_of(breaker, at(75))

    # then the cool-down begins at the expiry, whenever it is noticed
    assert before == breaker
    assert expired == Breaker(BreakerState.OPEN, 3, 2, at(75))
    assert as_of(breaker, at(500)) == expired
    assert not allows(breaker, POLICY, at(84.999))
    assert allows(breaker, POLICY, at(85))
    assert after_result(breaker, POLICY, permit, SUCCESS, at(76)) == expired


def test_a_late_failure_does_not_extend_an_opening() -> None:
    # given a call let through while closed, after which the breaker opened
    _, late = admit(Breaker(), POLICY, at(0), LEASE_S)
    assert late is not None
    breaker = opened(at_s=1)

    # when, then
    assert after_result(breaker, POLICY, late, FAILURE, at(9)) == breaker


def test_a_late_success_does_not_close_it() -> None:
    # given
    _, late = admit(Breaker(), POLICY, at(0), LEASE_S)
    assert late is not None
    breaker, _ = probing()

    # when, then
    assert after_result(breaker, POLICY, late, SUCCESS, at(11)) == breaker


def test_the_other_probe_of_a_failed_one_is_late() -> None:
    # given two probes of which one has failed
    policy = BreakerPolicy(failure_threshold=2, cooldown_s=10.0, half_open_max=2)
    first, one = admit(opened(), policy, at(10), LEASE_S)
    both, other = admit(first, policy, at(10), LEASE_S)
    assert one is not None
    assert other is not None
    again = after_result(both, policy, one, FAILURE, at(11))

    # when, then
    assert after_result(again, policy, other, SUCCESS, at(12)) == again


@pytest.mark.parametrize("kind", FailureClass)
def test_each_failure_class_is_one_of_three_results(kind: FailureClass) -> None:
    failures = {
        "server_error",
        "timeout_connect",
        "timeout_first_chunk",
        "timeout_idle",
        "timeout_total",
        "stream_truncated",
        "stream_malformed",
    }
    neutral = {"rate_limit", "quota_exhausted", "overloaded", "cancelled"}
    neutral |= {"credential_missing", "local_limit"}
    expected = NEUTRAL if kind.value in neutral else SUCCESS
    assert result_of(kind) is (FAILURE if kind.value in failures else expected)


def test_a_complete_answer_is_a_success() -> None:
    assert result_of(None) is SUCCESS


@dataclass
class PlainBreaker:
    """The rules of the breaker with changing variables, and no generation: calls know their round.

    Attributes:
        round: A new list whenever the state changes; a call belongs to the one it began in.
        probes: Seconds at which the leases end.
    """

    state: str = "closed"
    failures: int = 0
    opened_s: float = 0.0
    probes: list[float] = field(default_factory=list)
    round: list[None] = field(default_factory=list)

    def change(self, state: str, now_s: float) -> None:
        self.state, self.opened_s, self.probes, self.round = state, now_s, [], []

    def pass_time(self, now_s: float) -> None:
        if self.probes and min(self.probes) <= now_s:
            self.change("open", min(self.probes))

    def begin(self, now_s: float, most_probes: int) -> bool:
        if self.state == "open" and now_s >= self.opened_s + 8:
            self.change("half_open", now_s)
        if self.state == "half_open" and len(self.probes) < most_probes:
            self.probes.append(now_s + 20)
            return True
        return self.state == "closed"

    def end(self, result: CallResult, now_s: float) -> None:
        if result is SUCCESS:
            self.failures = 0
            if self.state == "half_open":
                self.change("closed", now_s)
        elif result is FAILURE:
            self.failures += 1
            if self.state == "half_open" or self.failures == 3:
                self.change("open", now_s)
        elif self.state == "half_open":
            self.change("open", now_s)


class BreakerMachine(RuleBasedStateMachine):
    """After any calls in any order, the breaker is in the state of the plain one."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = BreakerPolicy(failure_threshold=3, cooldown_s=8.0, half_open_max=2)
        self.breaker = Breaker()
        self.plain = PlainBreaker()
        self.now_s = 0
        self.calls: list[tuple[Permit, list[None]]] = []

    @rule(seconds=st.integers(0, 9))
    def wait(self, seconds: int) -> None:
        self.now_s += seconds
        self.plain.pass_time(self.now_s)

    @rule()
    def begin(self) -> None:
        looked = allows(self.breaker, self.policy, at(self.now_s))
        self.breaker, permit = admit(self.breaker, self.policy, at(self.now_s), 20.0)
        assert looked == (permit is not None) == self.plain.begin(self.now_s, 2)
        if permit is not None:
            self.calls.append((permit, self.plain.round))

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 1000), result=st.sampled_from(CallResult))
    def end(self, which: int, result: CallResult) -> None:
        permit, began_in = self.calls.pop(which % len(self.calls))
        self.breaker = after_result(self.breaker, self.policy, permit, result, at(self.now_s))
        if began_in is self.plain.round:
            self.plain.end(result, self.now_s)

    @invariant()
    def equals_the_plain_one(self) -> None:
        seen = as_of(self.breaker, at(self.now_s))
        assert (seen.state.value, seen.consecutive_failures, len(seen.leases)) == (
            self.plain.state,
            self.plain.failures,
            len(self.plain.probes),
        )
        due = probe_at(seen, self.policy)
        assert due == (at(self.plain.opened_s + 8) if self.plain.state == "open" else None)


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=150, stateful_step_count=40)
