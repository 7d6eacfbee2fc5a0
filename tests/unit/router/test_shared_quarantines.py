"""Quarantines that one replica begins or ends and another one obeys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.router.clients.credentials import look
from services.router.core.decision import Skipped, SkipReason
from services.router.core.failures import FailureClass
from services.router.core.model import Credential, Target
from services.router.core.quarantine import Quarantine, quarantine_entry
from services.router.core.routing_change import ModelChanged
from services.router.core.session import SessionKey
from services.router.core.shared_entry import Entry, Kind, ended
from services.router.engine.quarantines import Admission
from services.router.engine.routing_state import RouteRequest
from tests.unit.router.builders import at, target
from tests.unit.router.test_shared_health import POOL, A, B, Replica

LEASE_S = 60.0
DENIED = FailureClass.AUTH


def admit(replica: Replica, seconds: float, pool: Target = POOL) -> Admission:
    """Let a call through to the first member."""
    return replica.routing.admit(pool, pool.members[0], at(seconds), LEASE_S)


def record(
    replica: Replica,
    admission: Admission,
    failure: FailureClass | None,
    seconds: float,
    pool: Target = POOL,
) -> None:
    replica.routing.record_result(pool, pool.members[0], admission, failure, at(seconds))


def call(
    replica: Replica, seconds: float, failure: FailureClass | None = DENIED, pool: Target = POOL
) -> list[Entry[Any]]:
    """A call of the first member; what is to be stored of it."""
    record(replica, admit(replica, seconds, pool), failure, seconds, pool)
    return replica.stored()


def skips(replica: Replica, seconds: float, pool: Target = POOL) -> Skipped | None:
    """Why the first member is not called."""
    asked = RouteRequest(pool, SessionKey("default", "thread:t"), "")
    return replica.routing.health(asked, at(seconds))[0]


def aside(until_s: float | None, kind: str = "auth") -> Skipped:
    until = None if until_s is None else at(until_s)
    return Skipped("a", SkipReason.QUARANTINED, until, kind)


def test_what_one_finds_out_the_other_obeys_and_shows() -> None:
    # given
    one, other = Replica(), Replica()

    # when
    told = other.take(call(one, 0))

    # then it is told once
    assert told == [ModelChanged(A.quota_key)]
    assert skips(other, 899) == aside(900)
    state = other.routing.member_states(POOL, at(1))[0]
    assert (state.quarantine, state.quarantine_until) == (DENIED, at(900))


def test_each_replica_probes_once_and_says_so_to_none() -> None:
    # given
    one, other = Replica(), Replica()
    other.take(call(one, 0))

    # when both probe at the same time
    probes = admit(one, 900), admit(other, 900)

    # then
    assert [each.probe for each in probes] == [True, True]
    assert skips(one, 901) == skips(other, 901) == aside(None)
    assert one.stored() == other.stored() == []


def test_a_probe_that_ends_neutral_begins_its_own_pause_alone() -> None:
    # given
    one, other = Replica(), Replica()
    other.take(call(one, 0))

    # when
    entries = call(one, 900, FailureClass.CANCELLED)

    # then
    assert entries == []
    assert (skips(one, 901), skips(other, 901)) == (aside(1800), None)


def test_another_round_on_one_voids_the_probe_of_the_other() -> None:
    # given a probe in flight on both
    one, other = Replica(), Replica()
    other.take(call(one, 0))
    probe = admit(other, 900)

    # when the first fails, the other learns of it, and then the second one fails
    other.take(call(one, 900, FailureClass.PAYMENT))
    record(other, probe, DENIED, 901)

    # then that is no third round
    assert skips(one, 902) == skips(other, 902) == aside(2700, "payment")
    assert other.stored() == []


def test_an_answer_to_one_ends_it_on_both_and_nothing_old_comes_back() -> None:
    # given
    one, other = Replica(), Replica()
    begun = call(one, 0)
    other.take(begun)

    # when
    end = call(other, 900, None)
    told = one.take(end)

    # then
    assert told == [ModelChanged(A.quota_key)]
    assert one.take(begun) == other.take(begun) == []
    assert skips(one, 901) is skips(other, 901) is None
    new = Replica()
    new.take([*end, *begun])
    assert skips(new, 1) is None


def test_a_new_quarantine_follows_an_end_of_a_clock_that_is_ahead() -> None:
    # given an end, at an instant that has not come yet for the other one
    one, other = Replica(), Replica()
    other.take(call(one, 0))
    other.take(call(one, 905, None))

    # when
    one.take(call(other, 900))

    # then
    assert skips(one, 906) == skips(other, 906) == aside(1800)


def test_a_reset_that_arrives_before_what_it_ends_keeps_it_out() -> None:
    # given a quarantine that has not arrived when the reset does
    one, other = Replica(), Replica()
    begun = call(one, 0)
    one.routing.shared.reset(POOL, A, "ann", at(5))
    other.take(one.stored())

    # when
    told = other.take(begun)

    # then
    assert told == []
    assert skips(other, 6) is None


def test_a_reset_ends_what_a_clock_that_is_ahead_has_begun() -> None:
    # given
    one, other = Replica(), Replica()
    other.take(call(one, 5))

    # when
    other.routing.shared.reset(POOL, A, "ann", at(4))
    one.take(other.stored())

    # then
    assert skips(one, 6) is skips(other, 6) is None


def test_what_begins_after_a_reset_stays_whichever_clock_is_ahead() -> None:
    # given a reset, at an instant that has not come yet for the other one
    one, other = Replica(), Replica()
    one.routing.shared.reset(POOL, A, "ann", at(5))
    reset = one.stored()
    other.take(reset)

    # when
    begun = call(other, 4)
    new = Replica()
    new.take([*begun, *reset])

    # then
    assert skips(other, 6) == skips(new, 6) == aside(904)


async def test_a_replica_with_another_key_goes_on_calling(tmp_path: Path) -> None:
    # given a provider with its key in a file
    key = tmp_path / "key"
    key.write_text("sk-old")
    keyed = replace(A, provider=replace(A.provider, credential=Credential(file=str(key))))
    pool = target(keyed, B)
    one, other = Replica(), Replica()
    begun = call(one, 0, pool=pool)

    # when
    key.write_text("sk-new")
    await look([keyed.provider])
    other.take(begun)
    changed = skips(other, 1, pool), other.routing.member_states(pool, at(1))[0].quarantine
    key.write_text("sk-old")
    await look([keyed.provider])
    same = skips(other, 1, pool), other.routing.member_states(pool, at(1))[0].quarantine

    # then
    assert changed == (None, None)
    assert same == (aside(900), DENIED)


CHANGES = st.tuples(st.sampled_from(["", "d1"]), st.sampled_from("qer"), st.integers(0, 4))


def entry_of(digest: str, what: str, seconds: int) -> Entry[Any]:
    """A quarantine, its end, or a reset of its model."""
    if what == "r":
        return replace(ended(Kind.RESET, ("pool", "a", *A.quota_key), at(seconds)), value="ann")
    value = Quarantine(DENIED, at(seconds)) if what == "q" else None
    # At one instant there is either.
    instant = at(seconds + (0.5 if what == "e" else 0))
    return quarantine_entry((*A.quota_key, digest), value, instant)


def state_of(entries: Sequence[Entry[Any]]) -> tuple[Skipped | None, set[Any]]:
    replica = Replica()
    replica.take(list(entries))
    return skips(replica, 5), set(replica.routing.records().quarantines.items())


@given(st.lists(CHANGES), st.randoms())
def test_the_order_in_which_they_come_does_not_matter(
    seen: list[tuple[str, str, int]], random: Random
) -> None:
    # given the same entries in two orders, some of them twice
    entries = [entry_of(*each) for each in seen]
    shuffled = [*entries, *entries[:2]]
    random.shuffle(shuffled)

    # when, then what counts is the last of a key, unless a reset is as late
    found = state_of(entries)
    assert found == state_of(shuffled)
    own = [(s + (0.5 if what == "e" else 0), what) for d, what, s in seen if what == "r" or not d]
    last = max(own, default=(0, "e"))
    assert found[0] == (aside(last[0] + 900) if last[1] == "q" else None)
