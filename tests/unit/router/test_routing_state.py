"""The state that is kept between calls: bounded, and no failover is undone by concurrent calls."""

from __future__ import annotations

import pytest

from services.router.core.decision import Sticky
from services.router.core.failures import Failure, FailureClass
from services.router.core.model import HomeStrategy
from services.router.core.pins import Pins
from services.router.core.session import SessionKey
from services.router.engine.routing_state import RouteRequest, RoutingState
from tests.unit.router.builders import NOW, at, member, target

LATER = at(1)
LIMITED = Failure(FailureClass.RATE_LIMIT, 429)
OVERLOADED = Failure(FailureClass.OVERLOADED, 503)
ALONGSIDE = SessionKey("default", "agent:helper")
POOL = target(member("a"), member("b"), member("c"), home=HomeStrategy.FIRST_HEALTHY)
ASKED = RouteRequest(POOL, ALONGSIDE, "run-1")


@pytest.mark.parametrize(
    ("answering", "failure", "pinned"),
    [(0, None, 1), (2, LIMITED, 2)],
    ids=["a late answer from home does not undo a failover", "the last failover counts"],
)
def test_a_session_stays_where_concurrent_calls_failed_over_to(
    answering: int, failure: Failure | None, pinned: int
) -> None:
    # given two calls that start at home, one of which has failed over to the second member
    routing = RoutingState(Pins())
    slow, quick = routing.choose_start(ASKED, NOW), routing.choose_start(ASKED, NOW)
    routing.record_commit(ASKED, quick, 1, LIMITED, NOW, "")

    # when the answer of the other call begins
    routing.record_commit(ASKED, slow, answering, failure, LATER, "")

    # then
    after = routing.choose_start(ASKED, LATER)
    assert (after.start, after.sticky) == (pinned, Sticky.PINNED)


def test_a_late_answer_does_not_restore_an_earlier_pin() -> None:
    # given a session pinned to the second member, and two calls, one of which fails over
    routing = RoutingState(Pins())
    routing.record_commit(ASKED, routing.choose_start(ASKED, NOW), 1, LIMITED, NOW, "")
    slow, quick = routing.choose_start(ASKED, LATER), routing.choose_start(ASKED, LATER)
    routing.record_commit(ASKED, quick, 2, LIMITED, LATER, "")

    # when
    routing.record_commit(ASKED, slow, 1, None, LATER, "")

    # then
    assert routing.choose_start(ASKED, LATER).start == 2


@pytest.mark.parametrize("home", [HomeStrategy.FIRST_HEALTHY, HomeStrategy.ROUND_ROBIN])
def test_a_session_whose_home_is_set_aside_is_pinned_where_it_starts(home: HomeStrategy) -> None:
    # given a pool whose only home is limited
    found = target(member("a"), member("b", failover_only=True), home=home)
    asked = RouteRequest(found, ALONGSIDE, "run-1")
    routing = RoutingState(Pins())
    routing.record_failure(found.members[0], Failure(FailureClass.RATE_LIMIT, 429, 30.0), NOW)

    # when the failover-only member answers, and the limit has passed
    routing.record_commit(asked, routing.choose_start(asked, NOW), 1, None, NOW, "")

    # then
    after = routing.choose_start(asked, at(60))
    assert (after.start, after.sticky) == (1, Sticky.PINNED)


def test_passed_deadlines_are_dropped_at_10000() -> None:
    # given a member that was overloaded once, so that its next pause is 2 s
    routing, busy = RoutingState(Pins()), member("busy")
    routing.record_failure(busy, OVERLOADED, NOW)

    # when 9,999 others were limited, and all deadlines have passed
    for n in range(9_999):
        routing.record_failure(member(f"m{n}"), Failure(FailureClass.RATE_LIMIT, 429, 1.0), NOW)
    routing.record_failure(member("one more"), OVERLOADED, at(10))
    routing.record_failure(busy, OVERLOADED, at(10))

    # then the next pause is 1 s again
    assert routing.recovers_in_s([busy], at(10)) == 1.0
