"""A cordoned member gets no new sessions: pinned ones stay, all others go to the next member."""

from __future__ import annotations

import pytest

from services.router.clients.credentials import digest_of
from services.router.core.cordon import is_cordoned, with_cordon
from services.router.core.decision import Skipped, SkipReason, Sticky
from services.router.core.failures import Failure, FailureClass
from services.router.core.model import HomeStrategy, ReturnHome, SwitchPolicy, Target
from services.router.core.pins import Pins
from services.router.core.session import SessionKey
from services.router.core.shared_entry import Entry
from services.router.engine.changes import RoutingChanges
from services.router.engine.routing_state import RouteRequest, RoutingState
from tests.unit.router.builders import NOW, at, member, target

LATER = at(60)
THREAD = SessionKey("default", "thread:t")
LIMITED = Failure(FailureClass.RATE_LIMIT, 429, 30.0)


def pool(*names: str, home: HomeStrategy = HomeStrategy.FIRST_HEALTHY, **rest: object) -> Target:
    return target(*(member(name) for name in names or ("a", "b", "c")), home=home, **rest)


class Routing:
    """The routing state of one process with one pool."""

    def __init__(self, found: Target) -> None:
        self.target = found
        self.changes = RoutingChanges()
        self.state = RoutingState(Pins(changes=self.changes), digest_of, self.changes)

    def cordon(self, name: str, *, cordoned: bool = True) -> list[Entry[bool]]:
        """What is to be stored of it."""
        (index,) = [i for i, each in enumerate(self.target.members) if each.id == name]
        self.state.shared.set_cordon(
            self.target, self.target.members[index], NOW, cordoned=cordoned
        )
        return self.changes.take_unsaved()

    def call(self, key: SessionKey = THREAD, run_id: str = "") -> tuple[str, Sticky]:
        """Make a call that is answered: its member, and how that was chosen."""
        request = RouteRequest(self.target, key, run_id)
        chosen = self.state.choose_start(request, LATER)
        if chosen.start is None:
            return "", chosen.sticky
        self.state.record_commit(request, chosen, chosen.start, None, LATER, "")
        return self.target.members[chosen.start].id, chosen.sticky

    def skips(self) -> list[SkipReason | None]:
        health = self.state.health(RouteRequest(self.target, THREAD, ""), LATER)
        return [None if skip is None else skip.reason for skip in health]


def test_a_session_at_home_on_a_cordoned_member_goes_to_the_next_and_is_pinned_there() -> None:
    # given a session at home, of which nothing is stored
    routing = Routing(pool())
    before = routing.call()

    # when
    routing.cordon("a")
    after, again = routing.call(), routing.call()

    # then
    assert before == ("a", Sticky.HOME)
    assert (after, again) == (("b", Sticky.MOVED), ("b", Sticky.PINNED))
    (pin,) = routing.state.records().pins
    assert (pin.member_id, pin.home_member_id, pin.reason) == ("b", "a", SkipReason.CORDONED)


def test_a_pinned_session_stays_on_a_cordoned_member_until_that_fails() -> None:
    # given a session that has moved to the second member
    routing = Routing(pool())
    routing.state.record_failure(routing.target.members[0], LIMITED, at(50))
    routing.call()

    # when that is cordoned, and later limited
    routing.cordon("b")
    stays = routing.call()
    routing.state.record_failure(routing.target.members[1], LIMITED, at(50))
    leaves = routing.call()

    # then
    assert stays == ("b", Sticky.PINNED)
    assert leaves == ("c", Sticky.MOVED)


def test_nothing_fails_over_to_a_cordoned_member_even_when_no_other_is_left() -> None:
    # given the only healthy member, cordoned
    routing = Routing(pool("a", "b"))
    routing.state.record_failure(routing.target.members[0], LIMITED, at(50))
    routing.cordon("b")

    # when, then
    assert routing.call()[0] == ""
    assert routing.skips() == [SkipReason.QUOTA_DEADLINE, SkipReason.CORDONED]


def test_round_robin_passes_over_a_cordoned_member_and_keeps_its_sessions() -> None:
    # given four sessions on two members
    routing = Routing(pool("a", "b", home=HomeStrategy.ROUND_ROBIN))
    old = [SessionKey("default", f"thread:{n}") for n in range(4)]
    placed = [routing.call(key)[0] for key in old]

    # when
    routing.cordon("a")
    kept = [routing.call(key)[0] for key in old]
    new = [routing.call(SessionKey("default", f"thread:new {n}"))[0] for n in range(4)]

    # then
    assert placed == kept == ["a", "b", "a", "b"]
    assert new == ["b"] * 4


def test_no_session_returns_to_a_cordoned_home() -> None:
    # given a session that has moved from home, in a pool whose sessions return with a new run
    routing = Routing(pool(return_home=ReturnHome.NEXT_SESSION))
    routing.state.record_failure(routing.target.members[0], LIMITED, at(50))
    routing.call(run_id="run-1")
    routing.state.shared.reset(routing.target, routing.target.members[0], "ann", at(55))

    # when
    routing.cordon("a")
    cordoned = routing.call(run_id="run-2")
    routing.cordon("a", cordoned=False)

    # then
    assert cordoned == ("b", Sticky.PINNED)
    assert routing.call(run_id="run-3") == ("a", Sticky.RETURNED)


def test_leaving_a_cordoned_home_costs_no_move_of_the_budget() -> None:
    # given a pool that allows no move
    routing = Routing(pool(switch=SwitchPolicy(max_switches=0)))

    # when
    routing.cordon("a")

    # then
    assert routing.call() == ("b", Sticky.MOVED)


def test_a_repeated_cordon_changes_nothing_and_the_last_of_two_changes_counts() -> None:
    # given a cordon, all at one instant
    routing, other = Routing(pool()), Routing(pool())
    (begun,) = routing.cordon("a")

    # when
    repeated = routing.cordon("a")
    (ended,) = routing.cordon("a", cordoned=False)
    (again,) = routing.cordon("a")
    for each in (again, ended, begun):
        other.state.merge(each)

    # then
    assert repeated == routing.cordon("a") == []
    assert routing.skips() == other.skips() == [SkipReason.CORDONED, None, None]


def test_the_only_member_of_a_target_is_never_cordoned() -> None:
    # given a cordon of a member whose pool then loses the others
    (entry,) = Routing(pool("a", "b")).cordon("a")
    alone = Routing(pool("a"))

    # when
    alone.state.merge(entry)

    # then
    assert alone.skips() == [None]
    assert not is_cordoned(alone.target, entry)
    assert not is_cordoned(pool(), None)


@pytest.mark.parametrize(
    ("skip", "told"),
    [
        (None, SkipReason.CORDONED),
        (Skipped("a", SkipReason.QUOTA_DEADLINE), SkipReason.QUOTA_DEADLINE),
        (Skipped("a", SkipReason.CIRCUIT_OPEN, moves=False), SkipReason.CORDONED),
    ],
    ids=["healthy", "limited", "an open circuit that keeps its sessions"],
)
def test_what_keeps_every_call_from_the_member_comes_first(
    skip: Skipped | None, told: SkipReason
) -> None:
    told_of = with_cordon(member("a"), skip)
    assert (told_of.reason, told_of.moves) == (told, True)
