"""What is told of a member, and whether there is something to tell."""

from __future__ import annotations

import pytest

from services.router.core.breaker import Breaker, BreakerState
from services.router.core.failures import FailureClass
from services.router.core.limits import page_size
from services.router.core.member_state import (
    LastFailure,
    MemberRecord,
    MemberState,
    member_state,
    turns_at,
    worth_telling,
)
from services.router.core.model import BreakerPolicy
from services.router.core.quarantine import Quarantine
from services.router.core.quota import QuotaDeadline
from services.router.core.quota_windows import QuotaWindow
from tests.unit.router.builders import NOW, at, member, target

A = member("a")
REQUESTS = QuotaWindow("requests", 500, 499, at(60), "x-ratelimit")
PASSED = QuotaWindow("tokens", 500, 0, at(5), "x-ratelimit")
POOL = target(A, breaker=BreakerPolicy(failure_threshold=2, cooldown_s=10.0, half_open_max=3))
DEADLINE = QuotaDeadline(at(30), 30.0)


def test_a_member_without_a_record_is_closed() -> None:
    assert member_state(POOL, A, MemberRecord(), NOW) == MemberState(
        target_id="pool",
        member_id="a",
        breaker=BreakerState.CLOSED,
        generation=0,
        consecutive_failures=0,
        opened_at=None,
        probe_at=None,
        probes_in_flight=0,
        probes_allowed=3,
        last_failure=None,
        quota_until=None,
        quarantine=None,
        quarantine_until=None,
        quarantine_round=0,
        windows=(),
        cordoned_at=None,
    )


def test_everything_that_is_kept_of_a_member_is_told() -> None:
    # given a circuit that opened and a quarantine of round 2 that began at 0 s, a deadline at 30 s
    failure = LastFailure(FailureClass.TIMEOUT_IDLE, at(0))
    record = MemberRecord(
        Breaker(BreakerState.OPEN, 3, 2, at(0)),
        failure,
        QuotaDeadline(at(30), None, 1),
        Quarantine(FailureClass.PAYMENT, at(0), 2),
        (REQUESTS, PASSED),
        at(4),
    )

    # when
    told = member_state(POOL, A, record, at(5))

    # then
    assert told == MemberState(
        target_id="pool",
        member_id="a",
        breaker=BreakerState.OPEN,
        generation=3,
        consecutive_failures=2,
        opened_at=at(0),
        probe_at=at(10),
        probes_in_flight=0,
        probes_allowed=3,
        last_failure=failure,
        quota_until=at(30),
        quarantine=FailureClass.PAYMENT,
        quarantine_until=at(1800),
        quarantine_round=2,
        windows=(REQUESTS,),
        cordoned_at=at(4),
    )


def test_a_probe_whose_lease_has_expired_is_not_in_flight() -> None:
    # given two probes, leased until 70 s and 80 s
    breaker = Breaker(BreakerState.HALF_OPEN, 2, 2, at(0), (at(70), at(80)))
    record = MemberRecord(breaker)

    # when
    before, after = (member_state(POOL, A, record, at(s)) for s in (69, 70))

    # then
    assert (before.breaker, before.probes_in_flight) == (BreakerState.HALF_OPEN, 2)
    assert (after.breaker, after.probes_in_flight) == (BreakerState.OPEN, 0)
    assert (after.generation, after.opened_at, after.probe_at) == (3, at(70), at(80))


def test_a_quarantine_with_a_probe_in_flight_has_no_end() -> None:
    # given a probe leased until 1,000 s
    record = MemberRecord(quarantine=Quarantine(FailureClass.AUTH, at(0), 1, at(1000)))

    # when
    before, after = (member_state(POOL, A, record, at(s)) for s in (999, 1000))

    # then
    assert (before.quarantine, before.quarantine_until) == (FailureClass.AUTH, None)
    assert (after.quarantine_until, after.quarantine_round) == (at(1900), 1)


@pytest.mark.parametrize(("at_s", "told"), [(29, True), (30, False)])
def test_a_deadline_is_told_until_it_has_passed(at_s: float, told: bool) -> None:
    record = MemberRecord(deadline=QuotaDeadline(at(30), 30.0))

    assert worth_telling(record, at(at_s)) is told
    assert (member_state(POOL, A, record, at(at_s)).quota_until is not None) is told


@pytest.mark.parametrize(("at_s", "told"), [(59, True), (60, False)])
def test_a_member_that_told_of_its_limits_is_worth_telling(at_s: float, told: bool) -> None:
    assert worth_telling(MemberRecord(windows=(REQUESTS,)), at(at_s)) is told


@pytest.mark.parametrize(
    ("record", "turns"),
    [
        (MemberRecord(), []),
        (MemberRecord(Breaker(consecutive_failures=1)), []),
        (MemberRecord(Breaker(BreakerState.OPEN, 1, 2, at(0)), deadline=DEADLINE), [10, 30]),
        (MemberRecord(Breaker(BreakerState.OPEN, 1, 2, at(-10))), [0]),
        (MemberRecord(Breaker(BreakerState.OPEN, 1, 2, at(-11))), []),
        (MemberRecord(Breaker(BreakerState.HALF_OPEN, 2, 2, at(-20), (at(7), at(5)))), [5]),
        (MemberRecord(Breaker(BreakerState.HALF_OPEN, 2, 2, at(-20), (at(0),))), [0, 10]),
        (MemberRecord(Breaker(BreakerState.HALF_OPEN, 2, 2, at(-20), (at(-1),))), [9]),
        (MemberRecord(quarantine=Quarantine(FailureClass.AUTH, at(0))), [900]),
        (MemberRecord(quarantine=Quarantine(FailureClass.AUTH, at(-900), lease=at(5))), [5]),
        (MemberRecord(quarantine=Quarantine(FailureClass.AUTH, at(-900), lease=NOW)), [0, 900]),
    ],
)
def test_time_alone_changes_what_may_be_called(record: MemberRecord, turns: list[float]) -> None:
    """An open circuit waits 10 s for its probe, and an expired lease opens it."""
    assert turns_at(POOL, record, NOW) == [at(each) for each in turns]


def test_a_member_that_has_failed_or_is_cordoned_is_worth_telling() -> None:
    assert worth_telling(MemberRecord(Breaker()), NOW)
    assert worth_telling(MemberRecord(quarantine=Quarantine(FailureClass.AUTH, NOW)), NOW)
    assert worth_telling(MemberRecord(cordoned_at=NOW), NOW)
    assert not worth_telling(MemberRecord(), NOW)


@pytest.mark.parametrize(("wanted", "pins"), [(0, 100), (7, 7), (1_000, 1_000), (1_001, 1_000)])
def test_a_page_has_as_many_pins_as_are_wanted_within_bounds(wanted: int, pins: int) -> None:
    assert page_size(wanted) == pins
