from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.router.core.decision import Skipped, SkipReason, Sticky
from services.router.core.failures import FailureClass
from services.router.core.home import ranking
from services.router.core.model import HomeStrategy, ReturnHome, Target
from services.router.core.pins import Pin
from services.router.core.selection import (
    Health,
    Selection,
    capable_members,
    next_member,
    planned_decision,
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
    assert chosen(POOL, None, FIRST).left == FIRST
    assert chosen(POOL, STAYS, THIRD).left == THIRD
    assert chosen(POOL, None).left is None
    assert chosen(POOL, None, FIRST, SECOND, THIRD).left is None


def test_without_moving_a_session_stays_on_the_member_that_is_set_aside() -> None:
    # given
    moved, pinned_away = chosen(POOL, None, FIRST), chosen(POOL, STAYS, THIRD)
    calls = chosen(POOL, None, ranking(POOL, ANONYMOUS.routing_key)[0], key=ANONYMOUS)

    # when
    kept_home = without_moving(moved, POOL, KEY)
    kept_pinned = without_moving(pinned_away, POOL, KEY)

    # then
    assert (kept_home.start, kept_home.sticky, kept_home.pinned) == (FIRST, Sticky.HOME, False)
    assert (kept_pinned.start, kept_pinned.sticky) == (THIRD, Sticky.PINNED)
    assert kept_pinned.pinned
    assert without_moving(calls, POOL, ANONYMOUS).sticky is Sticky.ANONYMOUS
    assert without_moving(kept_home, POOL, KEY) is kept_home
    reasons = [None if skip is None else skip.reason for skip in kept_home.health]
    assert reasons[FIRST] is SkipReason.QUOTA_DEADLINE
    assert {reasons[SECOND], reasons[THIRD]} == {SkipReason.LIMIT_REACHED}


def lacking(*incapable: int, down: Sequence[int] = ()) -> Health:
    found = list(health(POOL, *down))
    for index in incapable:
        found[index] = Skipped(POOL.members[index].id, SkipReason.INCAPABLE, detail="tools")
    return found


FOR_A_NEED: dict[str, tuple[Pin | None, Health, tuple[int | None, int, Sticky, bool]]] = {
    "a home that lacks it is none": (
        None,
        lacking(FIRST),
        (SECOND, SECOND, Sticky.HOME, False),
    ),
    "the home for it is set aside": (
        None,
        lacking(FIRST, down=[SECOND]),
        (THIRD, SECOND, Sticky.MOVED, False),
    ),
    "every member lacks it": (
        None,
        lacking(FIRST, SECOND, THIRD),
        (None, FIRST, Sticky.THIS_CALL_ONLY, True),
    ),
    "a pin that has it is followed": (
        pinned(POOL, THIRD),
        lacking(FIRST),
        (THIRD, SECOND, Sticky.PINNED, False),
    ),
    "a pin to the home for it is followed": (
        pinned(POOL, SECOND),
        lacking(FIRST),
        (SECOND, SECOND, Sticky.PINNED, False),
    ),
    "a pin that lacks it stays": (
        pinned(POOL, THIRD),
        lacking(THIRD),
        (FIRST, FIRST, Sticky.THIS_CALL_ONLY, True),
    ),
    "a pin that lacks it stays, and the home is set aside": (
        pinned(POOL, THIRD),
        lacking(THIRD, down=[FIRST]),
        (SECOND, FIRST, Sticky.THIS_CALL_ONLY, True),
    ),
}


@pytest.mark.parametrize(("pin", "given", "expected"), FOR_A_NEED.values(), ids=FOR_A_NEED)
def test_a_member_that_lacks_what_is_needed_is_no_home(
    pin: Pin | None, given: Health, expected: tuple[int | None, int, Sticky, bool]
) -> None:
    # when
    found = select(POOL, KEY, "", pin, given, 0)

    # then nobody has failed, so that no member is left for it
    assert (found.start, found.home, found.sticky, found.keeps_pin) == expected
    assert found.left == (SECOND if found.sticky is Sticky.MOVED else None)


def test_a_call_without_a_session_has_none_to_leave() -> None:
    # given a pool whose only home lacks what is needed
    pool = target(member("a"), member("x", failover_only=True))
    lacks = [Skipped("a", SkipReason.INCAPABLE, detail="tools"), None]

    # when
    called = select(pool, ANONYMOUS, "", None, lacks, 0)
    held = select(pool, KEY, "", None, lacks, 0)

    # then
    assert (called.start, called.sticky) == (1, Sticky.ANONYMOUS)
    assert (held.start, held.home, held.sticky) == (1, 0, Sticky.THIS_CALL_ONLY)


def test_a_pinned_session_whose_member_lacks_it_prefers_a_home() -> None:
    # given a pool whose heaviest member is for failover only, and whose home is set aside
    pool = target(member("x", 1_000_000, failover_only=True), member("a"), member("b"), member("c"))
    first, home, other, last = ranking(pool, KEY.routing_key)
    given = health(pool, home)
    given = [
        *given[:last],
        Skipped(pool.members[last].id, SkipReason.INCAPABLE),
        *given[last + 1 :],
    ]

    # when
    found = select(pool, KEY, "", pinned(pool, last, home), given, 0)

    # then
    assert (first, found.start) == (0, other)


def test_round_robin_gives_no_home_that_lacks_what_is_needed() -> None:
    # given three homes of which the first lacks something, and those that have it are set aside
    pool = target(*POOL.members, home=HomeStrategy.ROUND_ROBIN)
    lacks = Skipped(pool.members[0].id, SkipReason.INCAPABLE, detail="tools")
    given = [lacks, *health(pool, 1, 2)[1:]]

    # when
    homes = [select(pool, KEY, "", None, given, number).home for number in range(4)]

    # then
    assert homes == [1, 2, 1, 2]


def test_a_call_is_refused_without_a_member_or_on_one_that_is_set_aside() -> None:
    stuck = without_moving(chosen(POOL, None, FIRST), POOL, KEY)
    assert [chosen(POOL, None, FIRST).refused, stuck.refused] == [False, True]
    assert chosen(POOL, None, FIRST, SECOND, THIRD).refused


MOVES: dict[str, tuple[Pin | None, Health, bool]] = {
    "followed": (pinned(POOL, THIRD), lacking(), True),
    "not followed back home": (pinned(POOL, THIRD), lacking(down=[THIRD]), False),
    "not followed by this call only": (pinned(POOL, THIRD), lacking(THIRD), False),
    "not there": (None, lacking(), False),
}


@pytest.mark.parametrize(("pin", "given", "told"), MOVES.values(), ids=MOVES)
def test_a_decision_tells_of_a_pin_that_is_followed(
    pin: Pin | None, given: Health, told: bool
) -> None:
    # when
    decision = planned_decision(POOL, 7, KEY, select(POOL, KEY, "", pin, given, 0))

    # then
    moved = (NOW, FailureClass.RATE_LIMIT) if told else (None, None)
    assert (decision.moved_at, decision.move_reason) == moved
    assert (decision.session, decision.registry_version) == ("thread:t1", 7)
    assert decision.home_member_id == POOL.members[FIRST].id


def test_members_that_lack_something_are_not_capable() -> None:
    capable = capable_members(POOL, lacking(FIRST, down=[SECOND]))
    assert {each.id for each in capable} == {POOL.members[SECOND].id, POOL.members[THIRD].id}
