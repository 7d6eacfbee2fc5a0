from __future__ import annotations

import pytest

from services.router.core.decision import Skipped, SkipReason, Sticky
from services.router.core.home import ranking
from services.router.core.model import HomeStrategy, ReturnHome, Target
from services.router.core.pins import Pin
from services.router.core.selection import (
    Health,
    Selection,
    next_member,
    select,
    skipped_members,
    without_moving,
)
from services.router.core.session import SessionKey
from tests.unit.router.builders import NOW, a_pin, member, target

KEY = SessionKey("default", "thread:t1")
ANONYMOUS = SessionKey("default", "call:c1", anonymous=True)
# With this key the hash ranks them so; the pools below are written in this order.
POOL = target(*(member(name) for name in ("m2", "m1", "m3")))
ORDER = ranking(POOL, KEY.routing_key)
FIRST, SECOND, THIRD = ORDER


def health(pool: Target, *down: int) -> Health:
    return [
        Skipped(m.id, SkipReason.QUOTA_DEADLINE, NOW) if index in down else None
        for index, m in enumerate(pool.members)
    ]


def pinned(pool: Target, member_index: int, home_index: int = FIRST, **changes: object) -> Pin:
    member_id, home_id = pool.members[member_index].id, pool.members[home_index].id
    return a_pin(KEY.name, **{"member_id": member_id, "home_member_id": home_id, **changes})


def chosen(
    pool: Target, pin: Pin | None, *down: int, key: SessionKey = KEY, run_id: str = ""
) -> Selection:
    return select(pool, key, run_id, pin, health(pool, *down), 0)


def test_a_session_starts_at_home() -> None:
    # when
    found = chosen(POOL, None)

    # then
    assert (found.start, found.home, found.sticky) == (FIRST, FIRST, Sticky.HOME)
    assert not found.pinned


def test_a_call_without_a_session_has_a_home_of_its_own() -> None:
    # when
    found = chosen(POOL, None, key=ANONYMOUS)

    # then
    assert found.sticky is Sticky.ANONYMOUS
    assert found.start == found.home


def test_a_new_session_prefers_another_home_to_a_failover_only_member() -> None:
    """A failover-only member is ranked like the others for sessions that fail over."""
    # given a pool where the heaviest member is for failover only
    heaviest = member("x", 1_000_000, failover_only=True)
    pool = target(heaviest, member("a"), member("b"))
    order = ranking(pool, KEY.routing_key)
    home = order[1]

    # when the home is set aside for a new session, and for one that was pinned there
    new = chosen(pool, None, home)
    held = chosen(pool, pinned(pool, home, home), home)

    # then
    assert order[0] == 0
    assert new.start == order[2]
    assert held.start == 0


def test_a_failover_only_member_starts_when_every_home_is_set_aside() -> None:
    # given
    pool = target(member("a"), member("b"), member("x", failover_only=True))

    # when
    found = chosen(pool, None, 0, 1)

    # then
    assert (found.start, found.sticky) == (2, Sticky.MOVED)
    assert found.home in {0, 1}


def test_a_pin_is_followed_although_the_home_is_healthy() -> None:
    # given
    pin = pinned(POOL, THIRD)

    # when
    found = chosen(POOL, pin)

    # then
    assert (found.start, found.sticky) == (THIRD, Sticky.PINNED)
    assert found.pinned
    assert found.found_pin is pin


STAYS, LEFT = pinned(POOL, THIRD), pinned(POOL, THIRD, member_id="gone")
STARTS: dict[str, tuple[Pin | None, list[int], tuple[int | None, Sticky]]] = {
    "home set aside": (None, [FIRST], (SECOND, Sticky.MOVED)),
    "every member set aside": (None, [FIRST, SECOND, THIRD], (None, Sticky.MOVED)),
    "pinned member set aside": (STAYS, [THIRD], (FIRST, Sticky.RETURNED)),
    "pinned member and home set aside": (STAYS, [THIRD, FIRST], (SECOND, Sticky.MOVED)),
    "pinned to a member that left the pool": (LEFT, [], (FIRST, Sticky.HOME)),
}


@pytest.mark.parametrize(("pin", "down", "expected"), STARTS.values(), ids=STARTS)
def test_a_session_starts_on_the_best_healthy_member(
    pin: Pin | None, down: list[int], expected: tuple[int | None, Sticky]
) -> None:
    # when
    found = chosen(POOL, pin, *down)

    # then
    assert (found.start, found.sticky) == expected
    assert found.home == FIRST


@pytest.mark.parametrize(
    ("run_id", "home_down", "expected"),
    [
        ("run-2", False, Sticky.RETURNED),
        ("run-1", False, Sticky.PINNED),
        ("run-2", True, Sticky.PINNED),
    ],
)
def test_a_new_run_returns_to_a_healthy_home(
    run_id: str, home_down: bool, expected: Sticky
) -> None:
    # given a pool that lets sessions return, and a pin made in run-1
    pool = target(*POOL.members, return_home=ReturnHome.NEXT_SESSION)
    down = [FIRST] if home_down else []

    # when
    found = chosen(pool, pinned(pool, THIRD), *down, run_id=run_id)

    # then
    assert found.sticky is expected
    assert found.start == (FIRST if expected is Sticky.RETURNED else THIRD)


def test_first_healthy_takes_the_first_as_declared() -> None:
    # given
    pool = target(*POOL.members, home=HomeStrategy.FIRST_HEALTHY)

    # when, then
    assert chosen(pool, None).start == 0
    assert chosen(pool, None, 0).start == 1


def test_a_session_keeps_its_round_robin_home() -> None:
    # given
    pool = target(*POOL.members, home=HomeStrategy.ROUND_ROBIN)

    # when a session takes slot 1, and calls again later with its home
    first = select(pool, KEY, "", None, health(pool), 1)
    again = select(pool, KEY, "", pinned(pool, 1, 1), health(pool), 7)

    # then
    assert (first.start, first.home, first.sticky) == (1, 1, Sticky.HOME)
    assert (again.start, again.home, again.sticky) == (1, 1, Sticky.HOME)
    assert again.pinned


def test_the_next_member_is_the_best_healthy_one_that_was_not_called() -> None:
    # given
    second_down = health(POOL, SECOND)

    # when, then
    assert next_member(ORDER, second_down, {FIRST}) == THIRD
    assert next_member(ORDER, second_down, {FIRST, THIRD}) is None


def test_skipped_members_are_listed_home_first() -> None:
    # given a pool whose home is not the first of the order
    pool = target(member("x", 1_000_000, failover_only=True), member("a"), member("b"))
    order = ranking(pool, KEY.routing_key)
    home = order[1]

    # when
    named = skipped_members(order, home, health(pool, 0, 1, 2), {order[2]})

    # then
    assert [skip.member_id for skip in named] == [pool.members[home].id, "x"]


def kept(pool: Target, *down: int) -> Health:
    """Health of members that are set aside and that their sessions may not leave."""
    return [
        Skipped(m.id, SkipReason.CIRCUIT_OPEN, NOW, moves=False) if index in down else None
        for index, m in enumerate(pool.members)
    ]


@pytest.mark.parametrize(
    ("pin", "down", "run_id", "expected"),
    [
        (None, [FIRST], "run-2", (FIRST, Sticky.HOME)),
        (STAYS, [THIRD], "run-1", (THIRD, Sticky.PINNED)),
        (STAYS, [FIRST], "run-2", (THIRD, Sticky.PINNED)),
    ],
    ids=["at home", "pinned", "home is not returned to"],
)
def test_a_session_stays_where_the_policy_keeps_it(
    pin: Pin | None, down: list[int], run_id: str, expected: tuple[int, Sticky]
) -> None:
    # given a pool that returns sessions
    pool = target(*POOL.members, return_home=ReturnHome.NEXT_SESSION)

    # when
    found = select(pool, KEY, run_id, pin, kept(pool, *down), 0)

    # then
    assert (found.start, found.sticky) == expected
    assert found.left is None


def test_a_session_does_not_move_to_a_member_that_cannot_be_called() -> None:
    # given a pinned member in a quota deadline, and a home whose circuit is open
    state = [*kept(POOL, FIRST)]
    state[THIRD] = Skipped("m3", SkipReason.QUOTA_DEADLINE, NOW)

    # when
    found = select(POOL, KEY, "", STAYS, state, 0)

    # then
    assert (found.start, found.left) == (SECOND, THIRD)


def test_a_move_before_the_call_says_which_member_is_left() -> None:
    # given
    incapable: list[Skipped | None] = [None, None, None]
    incapable[FIRST] = Skipped("m", SkipReason.INCAPABLE)

    # when, then a member that cannot do what is asked has not failed
    assert chosen(POOL, None, FIRST).left == FIRST
    assert chosen(POOL, STAYS, THIRD).left == THIRD
    assert chosen(POOL, None).left is None
    assert chosen(POOL, None, FIRST, SECOND, THIRD).left is None
    assert select(POOL, KEY, "", None, incapable, 0).left is None


def test_without_moving_a_session_stays_on_the_member_that_is_set_aside() -> None:
    # given
    moved, pinned_away = chosen(POOL, None, FIRST), chosen(POOL, STAYS, THIRD)
    calls = chosen(POOL, None, ranking(POOL, ANONYMOUS.routing_key)[0], key=ANONYMOUS)

    # when
    kept_home, kept_pinned = without_moving(moved, KEY), without_moving(pinned_away, KEY)

    # then
    assert (kept_home.start, kept_home.sticky, kept_home.pinned) == (FIRST, Sticky.HOME, False)
    assert (kept_pinned.start, kept_pinned.sticky) == (THIRD, Sticky.PINNED)
    assert kept_pinned.pinned
    assert without_moving(calls, ANONYMOUS).sticky is Sticky.ANONYMOUS
    assert without_moving(kept_home, KEY) is kept_home
