"""Replicas that have seen the same entries agree, in whatever order these came."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.router.core.shared_entry import Entry, Kind, Latest, ended, later_than
from tests.unit.router.builders import NOW, at

SECONDS = st.integers(0, 3)


def entry(
    key: str = "m", changed_s: float = 0, extended_s: float = 0, value: int = 1
) -> Entry[int]:
    return Entry(Kind.CORDON, (key,), value, at(changed_s), at(extended_s), None)


def test_the_later_change_supersedes_and_then_what_reaches_further() -> None:
    # given
    known = entry(changed_s=5, extended_s=50)

    # when, then
    assert entry().supersedes(None)
    assert entry(changed_s=6, extended_s=6).supersedes(known)
    assert entry(changed_s=5, extended_s=51).supersedes(known)
    assert not known.supersedes(known)
    assert not entry(changed_s=4, extended_s=99).supersedes(known)


@given(st.lists(st.tuples(st.sampled_from("ab"), SECONDS, SECONDS)), st.randoms())
def test_the_order_in_which_entries_come_does_not_matter(
    seen: list[tuple[str, int, int]], random: Random
) -> None:
    # given the same entries in two orders, some of them twice
    entries = [entry(key, changed_s, extended_s) for key, changed_s, extended_s in seen]
    shuffled = [*entries, *entries[:2]]
    random.shuffle(shuffled)

    # when
    one, other = Latest[int](), Latest[int]()
    for each in entries:
        one.take(each)
    for each in shuffled:
        other.take(each)

    # then
    assert one.entries == other.entries


def test_an_end_is_newer_than_what_it_ends_and_is_kept_for_a_day() -> None:
    end = ended(Kind.CORDON, ("m",), at(5))

    assert end.supersedes(entry(changed_s=4, extended_s=99))
    assert (end.value, end.ends_at) == (None, at(86_405))


def test_a_change_is_later_than_one_of_a_clock_that_is_ahead() -> None:
    assert later_than(None, NOW) == NOW
    assert later_than(at(-1), NOW) == NOW
    assert later_than(at(2), NOW) == at(2.000001)


def test_what_came_first_is_forgotten_beyond_the_capacity() -> None:
    # given room for two
    latest = Latest[int](capacity=2)
    took = [latest.take(entry(key)) for key in "aba"]

    # when the first one changes, and a third one comes
    latest.take(entry("a", changed_s=1))
    latest.take(entry("c"))

    # then
    assert took == [True, True, False]
    assert sorted(latest.entries) == [("a",), ("c",)]
