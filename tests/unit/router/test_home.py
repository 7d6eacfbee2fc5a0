from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.core.home import home_candidates, ranking, round_robin_home
from services.router.core.model import HomeStrategy, Member
from tests.unit.router.builders import ids, member, target

POOLS = [
    {"a": 1, "b": 1, "c": 1},
    {"m1": 1, "m2": 1, "m3": 1, "m4": 1},
    {"model-a": 1, "model-b": 2},
    {"a": 1, "b": 3},
    {"us-east-1": 1, "us-east-2": 1, "us-west-1": 2},
]


@pytest.mark.parametrize("weights", POOLS, ids="+".join)
def test_sessions_are_distributed_by_weight_also_among_similar_ids(weights: dict[str, int]) -> None:
    # given a pool and 100,000 sessions
    pool = target(*(member(name, weight) for name, weight in weights.items()))

    # when each finds its home
    found = Counter(ranking(pool, f"default\0thread:t{number}")[0] for number in range(100_000))

    # then every member has its share within one percentage point
    total = sum(weights.values())
    for index, weight in enumerate(weights.values()):
        assert found[index] / 100_000 == pytest.approx(weight / total, abs=0.01)


def test_the_order_is_the_same_in_every_process() -> None:
    """Golden values: another ranking after an upgrade would move every conversation."""
    # given
    pool = target(member("m1"), member("m2"), member("m3", 2), member("m4"))

    # when
    orders = [ids(pool, ranking(pool, f"default\0thread:t{number}")) for number in range(4)]

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
def test_removing_a_member_moves_only_its_own_sessions(
    names: list[str], session: str, lost: int
) -> None:
    # given a pool and the same pool without one member
    lost %= len(names)
    whole = target(*(member(name) for name in names))
    rest = target(*(member(name) for index, name in enumerate(names) if index != lost))

    # when
    before = ids(whole, ranking(whole, session))
    after = ids(rest, ranking(rest, session))

    # then the ranking of the others is unchanged
    assert after == [name for name in before if name != names[lost]]


def test_first_healthy_keeps_the_order_of_declaration() -> None:
    # given members of which the last are the heaviest
    pool = target(member("c", 1), member("a", 9), member("b", 99), home=HomeStrategy.FIRST_HEALTHY)

    # when, then
    assert ranking(pool, "default\0thread:t") == (0, 1, 2)


def test_a_member_for_failover_only_is_ranked_but_never_a_home() -> None:
    # given a failover-only member with more weight than the only home
    pool = target(member("home"), member("backup", 1_000_000, failover_only=True))

    # when
    order = ranking(pool, "default\0thread:t")

    # then
    assert order == (1, 0)
    assert home_candidates(pool.members, order) == (0,)


WEIGHTED = [member("a", 2), member("b"), member("c")]
ROUND_ROBIN = {
    "by weight": (WEIGHTED, [0, 1, 2], [True, True, True], [0, 0, 1, 2, 0, 0, 1, 2]),
    "without members that are set aside": (
        WEIGHTED,
        [0, 1, 2],
        [True, False, True],
        [0, 0, 2, 0, 0, 2],
    ),
    "only to homes": (
        [member("a"), member("b"), member("x", failover_only=True)],
        [0, 1],
        [False, False, True],
        [0, 1, 0, 1],
    ),
}


@pytest.mark.parametrize(
    ("members", "homes", "available", "given_out"), ROUND_ROBIN.values(), ids=ROUND_ROBIN
)
def test_round_robin_gives_out_slots(
    members: list[Member], homes: list[int], available: list[bool], given_out: list[int]
) -> None:
    found = [
        round_robin_home(members, homes, available, number) for number in range(len(given_out))
    ]
    assert found == given_out
