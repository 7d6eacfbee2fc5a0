from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.router.core.decision import Skipped, SkipReason, Sticky
from services.router.core.home import preference
from services.router.core.model import HomeStrategy, ReturnHome, Target
from services.router.core.pins import Pin
from services.router.core.selection import Health, Selection, next_member, select, set_aside
from services.router.core.session import SessionKey
from tests.unit.router.build import member, target

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = SessionKey("default", "thread:t1")
ANYBODY = SessionKey("default", "call:c1", anonymous=True)
# With this key the hash ranks them so; the pools below are written in this order.
POOL = target(*(member(name) for name in ("m2", "m1", "m3")))
ORDER = preference(POOL, KEY.routing_key)
FIRST, SECOND, THIRD = ORDER


def all_well(pool: Target) -> list[Skipped | None]:
    return [None] * len(pool.members)


def without(pool: Target, *down: int) -> Health:
    return [
        Skipped(m.id, SkipReason.QUOTA_DEADLINE, NOW) if index in down else None
        for index, m in enumerate(pool.members)
    ]


def pinned(pool: Target, member_index: int, home_index: int = FIRST, **changes: object) -> Pin:
    pin = Pin(
        tenant="default",
        pool_id="pool",
        session=KEY.name,
        revision="r1",
        member_id=pool.members[member_index].id,
        home_member_id=pool.members[home_index].id,
        reason=None,
        run_id="run-1",
        moved_at=NOW,
        used_at=NOW,
        ttl_s=3600.0,
    )
    return replace(pin, **changes)  # type: ignore[arg-type]  # fields by name


def chosen(
    pool: Target, pin: Pin | None, health: Health, *, key: SessionKey = KEY, run_id: str = ""
) -> Selection:
    return select(pool, key, run_id, pin, health, 0)


def test_a_session_starts_at_home() -> None:
    # when
    found = chosen(POOL, None, all_well(POOL))

    # then
    assert (found.start, found.home, found.sticky) == (FIRST, FIRST, Sticky.HOME)
    assert not found.pinned


def test_a_call_without_a_session_has_a_home_for_itself() -> None:
    # when
    found = chosen(POOL, None, all_well(POOL), key=ANYBODY)

    # then
    assert found.sticky is Sticky.ANONYMOUS
    assert found.start == found.home


def test_a_session_whose_home_is_set_aside_starts_on_the_next_in_the_order() -> None:
    # when
    found = chosen(POOL, None, without(POOL, FIRST))

    # then
    assert (found.start, found.home, found.sticky) == (SECOND, FIRST, Sticky.MOVED)


def test_a_new_session_prefers_another_home_to_a_stand_in() -> None:
    """A stand-in ranks like anybody else, but only for sessions that have to move."""
    # given a pool where the heaviest member is for failover only
    stand_in = member("x", 1_000_000, failover_only=True)
    pool = target(stand_in, member("a"), member("b"))
    order = preference(pool, KEY.routing_key)
    home = order[1]

    # when the home is set aside for a new session, and for one that was held there
    new = chosen(pool, None, without(pool, home))
    held = chosen(pool, pinned(pool, home, home), without(pool, home))

    # then
    assert order[0] == 0
    assert new.start == order[2]
    assert held.start == 0


def test_a_stand_in_takes_over_when_every_home_is_set_aside() -> None:
    # given
    pool = target(member("a"), member("b"), member("x", failover_only=True))

    # when
    found = chosen(pool, None, without(pool, 0, 1))

    # then
    assert (found.start, found.sticky) == (2, Sticky.MOVED)
    assert found.home in {0, 1}


def test_nobody_is_chosen_when_everybody_is_set_aside() -> None:
    # when
    found = chosen(POOL, None, without(POOL, 0, 1, 2))

    # then
    assert (found.start, found.home, found.sticky) == (None, FIRST, Sticky.MOVED)


def test_a_pin_is_followed_although_the_home_is_well() -> None:
    # given
    pin = pinned(POOL, THIRD)

    # when
    found = chosen(POOL, pin, all_well(POOL))

    # then
    assert (found.start, found.sticky) == (THIRD, Sticky.PINNED)
    assert found.pinned
    assert found.follows is pin


def test_a_session_whose_pin_is_set_aside_goes_to_the_best_that_is_left() -> None:
    # when the held member is down, and then the home too
    home = chosen(POOL, pinned(POOL, THIRD), without(POOL, THIRD))
    other = chosen(POOL, pinned(POOL, THIRD), without(POOL, THIRD, FIRST))

    # then
    assert (home.start, home.sticky) == (FIRST, Sticky.RETURNED)
    assert (other.start, other.sticky) == (SECOND, Sticky.MOVED)


def test_a_pin_to_a_member_that_left_the_pool_is_no_pin() -> None:
    # when
    found = chosen(POOL, pinned(POOL, THIRD, member_id="gone"), all_well(POOL))

    # then
    assert (found.start, found.sticky) == (FIRST, Sticky.HOME)


@pytest.mark.parametrize(
    ("run_id", "home_down", "expected"),
    [
        ("run-2", False, Sticky.RETURNED),
        ("run-1", False, Sticky.PINNED),
        ("run-2", True, Sticky.PINNED),
    ],
)
def test_a_new_run_goes_back_to_a_home_that_is_well(
    run_id: str, home_down: bool, expected: Sticky
) -> None:
    # given a pool that lets sessions return, and a pin made in run-1
    pool = target(*POOL.members, return_home=ReturnHome.NEXT_SESSION)
    health = without(pool, FIRST) if home_down else all_well(pool)

    # when
    found = chosen(pool, pinned(pool, THIRD), health, run_id=run_id)

    # then
    assert found.sticky is expected
    assert found.start == (FIRST if expected is Sticky.RETURNED else THIRD)


def test_first_healthy_takes_the_first_as_declared() -> None:
    # given
    pool = target(*POOL.members, home=HomeStrategy.FIRST_HEALTHY)

    # when, then
    assert chosen(pool, None, all_well(pool)).start == 0
    assert chosen(pool, None, without(pool, 0)).start == 1


def test_a_turn_gives_a_home_that_the_session_keeps() -> None:
    # given
    pool = target(*POOL.members, home=HomeStrategy.ROUND_ROBIN)

    # when a session takes turn 1, and comes back later with the home it was given
    first = select(pool, KEY, "", None, all_well(pool), 1)
    again = select(pool, KEY, "", pinned(pool, 1, 1), all_well(pool), 7)

    # then
    assert (first.start, first.home, first.sticky) == (1, 1, Sticky.HOME)
    assert (again.start, again.home, again.sticky) == (1, 1, Sticky.HOME)
    assert again.pinned


def test_the_next_member_is_the_best_that_is_well_and_was_not_called() -> None:
    # given
    health = without(POOL, SECOND)

    # when, then
    assert next_member(ORDER, health, {FIRST}) == THIRD
    assert next_member(ORDER, health, {FIRST, THIRD}) is None


def test_whoever_was_set_aside_is_named_home_first() -> None:
    # given a pool whose home is not the first of the order
    pool = target(member("x", 1_000_000, failover_only=True), member("a"), member("b"))
    order = preference(pool, KEY.routing_key)
    home = order[1]

    # when
    named = set_aside(order, home, without(pool, 0, 1, 2), {order[2]})

    # then
    assert [skip.member_id for skip in named] == [pool.members[home].id, "x"]
