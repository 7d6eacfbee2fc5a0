from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.core.model import SwitchPolicy
from services.router.core.quota import (
    QuotaDeadline,
    after_refusal,
    after_success,
    deadline_entry,
    justifies_failover,
    later,
    sets_aside,
)
from services.router.core.shared_entry import Entry, Kind, ended
from tests.unit.router.builders import NOW, at


def test_a_hint_sets_the_deadline() -> None:
    assert after_refusal(None, 30.0, NOW) == QuotaDeadline(at(30), 30.0)


def test_a_shorter_hint_does_not_bring_the_deadline_forward() -> None:
    # given
    before = QuotaDeadline(at(60), 60.0)

    # when, then
    assert after_refusal(before, 5.0, NOW) is before
    assert after_refusal(before, 90.0, NOW) == QuotaDeadline(at(90), 90.0)


def test_a_hint_beyond_a_day_counts_as_a_day() -> None:
    assert after_refusal(None, 1e9, NOW) == QuotaDeadline(at(86_400), 1e9)


def test_of_two_deadlines_the_later_one_stays() -> None:
    # given
    shorter, longer = QuotaDeadline(at(5), 5.0), QuotaDeadline(at(60), None, 3)
    at_once = QuotaDeadline(at(60), 60.0)

    # when, then
    assert later(None, shorter) is shorter
    assert later(shorter, longer) is longer
    assert later(longer, shorter) is longer
    assert later(longer, at_once) is longer


def test_refusals_without_a_hint_wait_longer_each_time_up_to_30_s() -> None:
    # given refusals that each come right after the last deadline
    deadline: QuotaDeadline | None = None
    now = NOW
    waits = []

    # when
    for _ in range(7):
        deadline = after_refusal(deadline, None, now)
        waits.append((deadline.until - now).total_seconds())
        now = deadline.until

    # then
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_refusals_of_concurrent_calls_count_once() -> None:
    # given a first refusal
    first = after_refusal(None, None, NOW)

    # when another call is refused within its second
    second = after_refusal(first, None, at(0.5))

    # then
    assert second is first


def test_an_answer_ends_the_streak_but_not_a_deadline_that_runs() -> None:
    # given
    running = QuotaDeadline(at(60), 60.0)
    over = QuotaDeadline(at(-1), None, 4)

    # when, then
    assert after_success(running, NOW) is running
    assert after_success(over, NOW) is None
    assert after_success(None, NOW) is None


@pytest.mark.parametrize(
    ("hint_s", "moves"), [(30.0, False), (60.0, True), (120.0, True), (None, True)]
)
def test_hints_below_the_threshold_do_not_fail_over(hint_s: float | None, moves: bool) -> None:
    # given
    switch = SwitchPolicy(quota_threshold_s=60.0)

    # when, then
    assert justifies_failover(hint_s, switch) is moves
    assert sets_aside(QuotaDeadline(at(10), hint_s), switch, NOW) is moves


def test_without_on_quota_a_deadline_sets_no_member_aside() -> None:
    # given
    switch = SwitchPolicy(on_quota=False)

    # when, then
    assert not justifies_failover(None, switch)
    assert not sets_aside(QuotaDeadline(at(10), 10.0), switch, NOW)


def test_a_deadline_has_passed_at_its_instant() -> None:
    # given
    deadline = QuotaDeadline(at(10), 10.0)

    # when, then
    assert sets_aside(deadline, SwitchPolicy(), at(9.999))
    assert not sets_aside(deadline, SwitchPolicy(), at(10))
    assert not sets_aside(None, SwitchPolicy(), NOW)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.one_of(st.none(), st.floats(0, 100_000))), max_size=20)
)
def test_a_deadline_never_comes_earlier(refusals: list[tuple[float, float | None]]) -> None:
    # given
    deadline: QuotaDeadline | None = None
    now = NOW

    # when refusals come in any order of hints, then
    for pause_s, hint_s in refusals:
        now += timedelta(seconds=pause_s)
        after = after_refusal(deadline, hint_s, now)
        assert deadline is None or after.until >= deadline.until
        assert after.until >= now
        deadline = after


def test_of_shared_deadlines_the_later_one_wins_unless_a_reset_came_between() -> None:
    # given a deadline at 60 s
    long = deadline_entry(("p",), None, QuotaDeadline(at(60), 60.0))

    # when another replica has a shorter one, an operator resets, and a short one follows
    short = deadline_entry(("p",), None, QuotaDeadline(at(20), 20.0))
    reset: Entry[QuotaDeadline] = ended(Kind.QUOTA_DEADLINE, ("p",), at(10))
    after = deadline_entry(("p",), reset, QuotaDeadline(at(15), 5.0))

    # then
    assert long.supersedes(short)
    assert not short.supersedes(long)
    assert reset.supersedes(long)
    assert after.supersedes(reset)
    assert not long.supersedes(after)
