"""Who is told what: sessions are their tenant's, members everybody's."""

from __future__ import annotations

import pytest

from services.router.core.breaker import BreakerState
from services.router.core.decision import SkipReason
from services.router.core.member_state import MemberState
from services.router.core.pins import Pinned, Unpinned
from services.router.core.routing_change import MemberReset, Switched
from services.router.core.watching import (
    Happening,
    Heartbeat,
    RoutingEvent,
    StateBegin,
    Watcher,
    seen_by,
)
from tests.unit.router.builders import NOW, a_pin

MEMBER = MemberState(
    target_id="pool",
    member_id="a",
    breaker=BreakerState.CLOSED,
    generation=0,
    consecutive_failures=0,
    opened_at=None,
    probe_at=None,
    probes_in_flight=0,
    probes_allowed=1,
    last_failure=None,
    quota_until=None,
    quarantine=None,
    quarantine_until=None,
    quarantine_round=0,
    windows=(),
    cordoned_at=None,
)
SWITCHED = Switched("default", "thread:t", "pool", "a", "b", SkipReason.CIRCUIT_OPEN)
ANONYMOUS = Switched("", "", "pool", "a", "b", SkipReason.CIRCUIT_OPEN)
RESET = MemberReset("ann", "pool", "a")


@pytest.mark.parametrize("what", [MEMBER, SWITCHED, RESET, Pinned(a_pin()), Unpinned(a_pin())])
def test_a_watcher_of_one_target_is_told_of_that_alone(what: Happening) -> None:
    event = RoutingEvent(NOW, what)

    assert seen_by(Watcher("default", ""), event) == event
    assert seen_by(Watcher("default", "pool"), event) == event
    assert seen_by(Watcher("default", "other"), event) is None


@pytest.mark.parametrize(
    ("what", "seen"),
    [
        (MEMBER, MEMBER),
        (RESET, RESET),
        (SWITCHED, ANONYMOUS),
        (Pinned(a_pin()), None),
        (Unpinned(a_pin()), None),
    ],
)
def test_another_tenant_is_told_of_no_session(what: Happening, seen: Happening | None) -> None:
    told = seen_by(Watcher("other", ""), RoutingEvent(NOW, what))

    assert told == (None if seen is None else RoutingEvent(NOW, seen))


@pytest.mark.parametrize("what", [StateBegin(), Heartbeat()])
def test_what_belongs_to_the_watch_itself_is_told(what: Happening) -> None:
    event = RoutingEvent(NOW, what)

    assert seen_by(Watcher("other", "other"), event) == event
