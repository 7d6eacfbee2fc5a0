"""Calls of one session that run at the same time: the one that moved it is right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.router.core.decision import Sticky
from services.router.core.failures import Failure, FailureClass
from services.router.core.model import HomeStrategy
from services.router.core.pins import Pins
from services.router.core.session import SessionKey
from services.router.engine.routing import Claim, Routing
from tests.unit.router.build import member, target

AT = datetime(2026, 1, 1, tzinfo=UTC)
LATER = AT + timedelta(seconds=1)
LIMITED = Failure(FailureClass.RATE_LIMIT, 429)
ALONGSIDE = SessionKey("default", "agent:helper")


def claim(home: HomeStrategy = HomeStrategy.FIRST_HEALTHY) -> Claim:
    found = target(member("a"), member("b"), member("c"), home=home)
    return Claim(found, ALONGSIDE, "run-1")


def test_a_late_answer_from_home_does_not_bring_a_moved_session_back() -> None:
    # given two calls that begin at home, one of which has moved to the second member
    routing, asked = Routing(Pins()), claim()
    slow, quick = routing.begin(asked, AT), routing.begin(asked, AT)
    routing.committed(asked, quick, 1, LIMITED, AT, "")

    # when the other one's answer begins at home after all
    routing.committed(asked, slow, 0, None, LATER, "")

    # then the session stays where it was moved
    after = routing.begin(asked, LATER)
    assert (after.start, after.sticky) == (1, Sticky.PINNED)


def test_a_late_answer_does_not_bring_a_session_back_to_a_pin_it_has_left() -> None:
    # given a session pinned to the second member, two calls of it, one of which moves on
    routing, asked = Routing(Pins()), claim()
    routing.committed(asked, routing.begin(asked, AT), 1, LIMITED, AT, "")
    slow, quick = routing.begin(asked, LATER), routing.begin(asked, LATER)
    routing.committed(asked, quick, 2, LIMITED, LATER, "")

    # when
    routing.committed(asked, slow, 1, None, LATER, "")

    # then
    assert routing.begin(asked, LATER).start == 2


def test_a_call_that_moves_itself_is_as_right_as_one_that_moved_before() -> None:
    # given
    routing, asked = Routing(Pins()), claim()
    slow, quick = routing.begin(asked, AT), routing.begin(asked, AT)
    routing.committed(asked, quick, 1, LIMITED, AT, "")

    # when the other one moves too, elsewhere
    routing.committed(asked, slow, 2, LIMITED, LATER, "")

    # then the last move counts
    assert routing.begin(asked, LATER).start == 2


@pytest.mark.parametrize("home", [HomeStrategy.FIRST_HEALTHY, HomeStrategy.ROUND_ROBIN])
def test_a_session_whose_home_is_set_aside_is_held_where_it_starts(home: HomeStrategy) -> None:
    # given a pool whose only home is limited
    found = target(member("a"), member("b", failover_only=True), home=home)
    asked = Claim(found, ALONGSIDE, "run-1")
    routing = Routing(Pins())
    routing.failed(found.members[0], Failure(FailureClass.RATE_LIMIT, 429, 30.0), AT)

    # when a call answers from the stand-in, and the limit is over
    routing.committed(asked, routing.begin(asked, AT), 1, None, AT, "")

    # then
    after = routing.begin(asked, AT + timedelta(seconds=60))
    assert (after.start, after.sticky) == (1, Sticky.PINNED)
