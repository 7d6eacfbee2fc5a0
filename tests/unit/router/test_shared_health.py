"""Quota deadlines, resets and cordons that one replica sets and another one takes in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from services.router.clients.credentials import digest_of
from services.router.core.failures import Failure, FailureClass
from services.router.core.model import BreakerPolicy
from services.router.core.pins import Pins
from services.router.core.routing_change import (
    MemberChanged,
    MemberReset,
    ModelChanged,
    RoutingChange,
)
from services.router.core.session import SessionKey
from services.router.core.shared_entry import Entry
from services.router.engine.changes import RoutingChanges
from services.router.engine.routing_state import RouteRequest, RoutingState
from tests.unit.router.builders import NOW, at, member, target

POOL = target(member("a"), member("b"), breaker=BreakerPolicy(failure_threshold=1))
A, B = POOL.members
ASKED = RouteRequest(POOL, SessionKey("default", "thread:t"), "")


def limited(hint_s: float | None) -> Failure:
    return Failure(FailureClass.RATE_LIMIT, 429, hint_s)


@dataclass
class Replica:
    """The routing state of one process, and what is told of it."""

    changes: RoutingChanges = field(default_factory=RoutingChanges)
    told: list[RoutingChange] = field(default_factory=list)
    routing: RoutingState = field(init=False)

    def __post_init__(self) -> None:
        self.routing = RoutingState(Pins(), digest_of, self.changes)
        self.changes.watch = self.told.append

    def fail(self, seconds: float) -> None:
        """Open the circuit of the first member."""
        admission = self.routing.admit(POOL, A, at(seconds), 60.0)
        self.routing.record_result(POOL, A, admission, FailureClass.SERVER_ERROR, at(seconds))

    def stored(self) -> list[Entry[Any]]:
        return self.changes.take_unsaved()

    def take(self, entries: list[Entry[Any]]) -> list[RoutingChange]:
        """Take entries in; what that tells."""
        self.told.clear()
        for each in entries:
            self.routing.merge(each)
        return list(self.told)

    def skips(self, seconds: float) -> list[str]:
        health = self.routing.health(ASKED, at(seconds))
        return ["" if each is None else each.reason.value for each in health]


def test_the_latest_of_two_deadlines_counts_on_both_replicas() -> None:
    # given a member that each of them finds limited
    one, other = Replica(), Replica()
    one.routing.record_failure(A, limited(60.0), NOW)
    other.routing.record_failure(A, limited(20.0), NOW)
    long, short = one.stored(), other.stored()

    # when
    told = other.take(long), one.take(short)

    # then
    assert told == ([ModelChanged(A.quota_key)], [])
    assert one.skips(59) == other.skips(59) == ["quota_deadline", ""]
    assert one.skips(60) == other.skips(60) == ["", ""]


def test_a_refusal_that_extends_nothing_is_not_stored() -> None:
    # given
    one = Replica()
    one.routing.record_failure(A, limited(60.0), NOW)
    one.stored()

    # when
    one.routing.record_failure(A, limited(5.0), NOW)
    one.routing.record_failure(A, limited(None), NOW)

    # then
    assert one.stored() == []


def test_a_reset_clears_what_is_older_on_the_other_replica() -> None:
    # given a member that is limited for both, and whose circuit is open on the other one
    one, other = Replica(), Replica()
    one.routing.record_failure(A, limited(60.0), NOW)
    deadline = one.stored()
    other.take(deadline)
    other.fail(0)

    # when
    one.routing.shared.reset(POOL, A, "ann", at(5))
    reset = one.stored()
    told = other.take(reset)

    # then that is told once, and nothing old comes back
    assert other.skips(6) == ["", ""]
    assert MemberReset("ann", "pool", "a") in told
    assert {MemberChanged("pool", "a"), ModelChanged(A.quota_key)} < set(told)
    assert other.take([*reset, *deadline]) == []
    assert other.skips(6) == ["", ""]


def test_a_reset_ends_the_quarantine_on_the_other_replica() -> None:
    # given a member that the provider refuses for good there
    one, other = Replica(), Replica()
    admission = other.routing.admit(POOL, A, NOW, 60.0)
    other.routing.record_result(POOL, A, admission, FailureClass.PERMISSION, NOW)
    before = other.skips(1)

    # when
    one.routing.shared.reset(POOL, A, "ann", at(5))
    other.take(one.stored())

    # then
    assert (before, other.skips(6)) == (["quarantined", ""], ["", ""])


def test_a_circuit_that_opened_after_a_reset_stays_open() -> None:
    # given a reset that has not arrived when the member fails
    one, other = Replica(), Replica()
    one.routing.shared.reset(POOL, A, "ann", at(5))
    other.fail(6)

    # when
    other.take(one.stored())

    # then
    assert other.skips(7) == ["circuit_open", ""]


def test_a_deadline_after_a_reset_counts_although_it_is_shorter() -> None:
    # given a long deadline that was reset
    one, other = Replica(), Replica()
    one.routing.record_failure(A, limited(60.0), NOW)
    one.routing.shared.reset(POOL, A, "ann", at(5))

    # when the member is limited again, for less
    one.routing.record_failure(A, limited(10.0), at(6))
    other.take(one.stored())

    # then
    assert one.skips(15) == other.skips(15) == ["quota_deadline", ""]
    assert one.skips(16) == other.skips(16) == ["", ""]


def test_two_resets_at_one_instant_are_two() -> None:
    # given a member that was reset, on a replica that has taken it in
    one, other = Replica(), Replica()
    one.routing.shared.reset(POOL, A, "ann", NOW)
    other.take(one.stored())

    # when
    one.routing.shared.reset(POOL, A, "bob", NOW)

    # then
    assert MemberReset("bob", "pool", "a") in other.take(one.stored())


def test_an_old_cordon_does_not_come_back() -> None:
    # given a cordon that has ended
    one, other = Replica(), Replica()
    one.routing.shared.set_cordon(POOL, B, NOW, cordoned=True)
    begun = one.stored()
    one.routing.shared.set_cordon(POOL, B, at(1), cordoned=False)
    other.take(one.stored())

    # when, then
    assert other.take(begun) == []
    assert other.skips(2) == ["", ""]
