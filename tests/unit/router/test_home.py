from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.core.home import homes, preference, round_robin_home
from services.router.core.model import HomeStrategy, Member
from tests.unit.router.build import ids, member, target

POOLS = [
    {"a": 1, "b": 1, "c": 1},
    {"m1": 1, "m2": 1, "m3": 1, "m4": 1},
    {"model-a": 1, "model-b": 2},
    {"a": 1, "b": 3},
    {"us-east-1": 1, "us-east-2": 1, "us-west-1": 2},
]


@pytest.mark.parametrize("weights", POOLS, ids="+".join)
def test_sessions_are_shared_by_weight_also_among_ids_that_hardly_differ(
    weights: dict[str, int],
) -> None:
    # given a pool and 100,000 sessions
    pool = target(*(member(name, weight) for name, weight in weights.items()))

    # when each finds its home
    found = Counter(preference(pool, f"default\0thread:t{number}")[0] for number in range(100_000))

    # then every member has its share within one percentage point
    total = sum(weights.values())
    for index, weight in enumerate(weights.values()):
        assert found[index] / 100_000 == pytest.approx(weight / total, abs=0.01)


def test_the_order_is_the_same_in_every_process() -> None:
    """Golden values: a replica or a restart that disagreed would move every conversation."""
    # given
    pool = target(member("m1"), member("m2"), member("m3", 2), member("m4"))

    # when
    orders = [ids(pool, preference(pool, f"default\0thread:t{number}")) for number in range(4)]

    # then
    assert orders == [
        ["m1", "m3", "m4", "m2"],
        ["m3", "m1", "m4", "m2"],
        ["m4", "m3", "m1", "m2"],
        ["m3", "m1", "m4", "m2"],
    ]


@given(
    names=st.lists(st.text("abcdef0123", min_size=1), min_size=2, max_size=6, unique=True),
    session=st.text(min_size=1),
    lost=st.integers(0, 5),
)
def test_losing_a_member_moves_only_its_own_sessions(
    names: list[str], session: str, lost: int
) -> None:
    # given a pool and the same pool without one member
    lost %= len(names)
    whole = target(*(member(name) for name in names))
    rest = target(*(member(name) for index, name in enumerate(names) if index != lost))

    # when
    before = ids(whole, preference(whole, session))
    after = ids(rest, preference(rest, session))

    # then nobody else changes places
    assert after == [name for name in before if name != names[lost]]


def test_first_healthy_keeps_the_order_of_declaration() -> None:
    # given heavier members behind
    pool = target(member("c", 1), member("a", 9), member("b", 99), home=HomeStrategy.FIRST_HEALTHY)

    # when, then
    assert preference(pool, "default\0thread:t") == (0, 1, 2)


def test_a_member_for_failover_only_is_ranked_but_never_a_home() -> None:
    # given a stand-in that outweighs the only home
    pool = target(member("home"), member("stand-in", 1_000_000, failover_only=True))

    # when
    order = preference(pool, "default\0thread:t")

    # then
    assert order == (1, 0)
    assert homes(pool.members, order) == (0,)


def turns(members: list[Member], available: list[bool], count: int) -> list[int]:
    return [round_robin_home(members, available, sequence) for sequence in range(count)]


def test_turns_go_round_by_weight() -> None:
    # given weights 2, 1, 1
    members = [member("a", 2), member("b"), member("c")]

    # when, then
    assert turns(members, [True, True, True], 8) == [0, 0, 1, 2, 0, 0, 1, 2]


def test_turns_leave_out_who_is_set_aside() -> None:
    # given weights 2, 1, 1 and the middle one set aside
    members = [member("a", 2), member("b"), member("c")]

    # when, then
    assert turns(members, [True, False, True], 6) == [0, 0, 2, 0, 0, 2]


def test_turns_never_go_to_a_stand_in_even_when_every_home_is_down() -> None:
    # given
    members = [member("a"), member("b"), member("x", failover_only=True)]

    # when, then
    assert turns(members, [False, False, True], 4) == [0, 1, 0, 1]
