"""What the router remembers between calls does not grow with the time it runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.router.core.failures import Failure, FailureClass
from services.router.core.pins import Pins
from services.router.engine.routing import Routing
from tests.unit.router.build import member

AT = datetime(2026, 1, 1, tzinfo=UTC)
OVERLOADED = Failure(FailureClass.OVERLOADED, 503)


def test_deadlines_that_are_over_are_forgotten_when_there_are_10000() -> None:
    # given a member that was overloaded once, and would be left alone for 2 s the next time
    routing, busy = Routing(Pins()), member("busy")
    routing.failed(busy, OVERLOADED, AT)
    later = AT + timedelta(seconds=10)

    # when 9,999 others were limited, all for times that are over
    for n in range(9_999):
        routing.failed(member(f"m{n}"), Failure(FailureClass.RATE_LIMIT, 429, 1.0), AT)
    routing.failed(member("one more"), OVERLOADED, later)
    routing.failed(busy, OVERLOADED, later)

    # then nothing is known of the first time
    assert routing.recovers_in_s([busy], later) == 1.0
