"""The state that is kept between calls: bounded, and no failover is undone by concurrent calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.router.clients.credentials import digest_of
from services.router.core.breaker import Breaker, Permit
from services.router.core.decision import SkipReason, Sticky
from services.router.core.failures import Failure, FailureClass
from services.router.core.member_state import LastFailure
from services.router.core.model import BreakerPolicy, HomeStrategy, SwitchPolicy
from services.router.core.pins import Pins
from services.router.core.session import SessionKey
from services.router.engine.breakers import Breakers
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
    routing = RoutingState(Pins(), digest_of)
    slow, quick = routing.choose_start(ASKED, NOW), routing.choose_start(ASKED, NOW)
    routing.record_commit(ASKED, quick, 1, LIMITED, NOW, "")

    # when the answer of the other call begins
    routing.record_commit(ASKED, slow, answering, failure, LATER, "")

    # then
    after = routing.choose_start(ASKED, LATER)
    assert (after.start, after.sticky) == (pinned, Sticky.PINNED)


def test_a_late_answer_does_not_restore_an_earlier_pin() -> None:
    # given a session pinned to the second member, and two calls, one of which fails over
    routing = RoutingState(Pins(), digest_of)
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
    routing = RoutingState(Pins(), digest_of)
    routing.record_failure(found.members[0], Failure(FailureClass.RATE_LIMIT, 429, 30.0), NOW)

    # when the failover-only member answers, and the limit has passed
    routing.record_commit(asked, routing.choose_start(asked, NOW), 1, None, NOW, "")

    # then
    after = routing.choose_start(asked, at(60))
    assert (after.start, after.sticky) == (1, Sticky.PINNED)


def test_an_answer_that_began_before_an_unpin_does_not_restore_the_pin() -> None:
    # given a session that is held on the second member, and a call that starts there
    routing = RoutingState(Pins(), digest_of)
    routing.record_commit(ASKED, routing.choose_start(ASKED, NOW), 1, LIMITED, NOW, "")
    started = routing.choose_start(ASKED, NOW)

    # when the session is unpinned before its answer begins
    ended = routing.unpin(ALONGSIDE, POOL, LATER)
    routing.record_commit(ASKED, started, 1, None, LATER, "")

    # then
    assert ended is not None
    assert ended.member_id == "b"
    assert routing.unpin(ALONGSIDE, POOL, LATER) is None
    assert routing.choose_start(ASKED, LATER).start == 0


def test_a_call_that_is_under_way_may_repeat_its_request_after_a_reset() -> None:
    # given a member that has failed once, and a call to it
    routing, (member_a, *_) = RoutingState(Pins(), digest_of), POOL.members
    failed = routing.admit(POOL, member_a, NOW, 60.0)
    routing.record_result(POOL, member_a, failed, FailureClass.SERVER_ERROR, NOW)
    permit, before = routing.admit(POOL, member_a, NOW, 60.0), routing.records().copied()

    # when
    routing.shared.reset(POOL, member_a, "ann", NOW)
    routing.shared.reset(POOL, POOL.members[1], "ann", NOW)

    # then a member that has never failed has nothing to tell, and what was read before stays
    assert before.record(POOL, member_a).breaker == Breaker(consecutive_failures=1)
    assert routing.may_repeat(POOL, member_a, permit, LATER)
    assert list(routing.records().breakers.values()) == [(Breaker(generation=1), None)]


def test_a_pin_tells_what_moved_its_session() -> None:
    """The failure in a call, else why the member was set aside that it left; nothing at home."""
    # given a session that fails over in its call, and whose new member is limited after it
    routing = RoutingState(Pins(), digest_of)
    routing.record_commit(ASKED, routing.choose_start(ASKED, NOW), 1, LIMITED, NOW, "")
    (in_call,) = routing.records().pins
    routing.record_failure(POOL.members[1], Failure(FailureClass.RATE_LIMIT, 429, 30.0), NOW)

    # when the next call starts elsewhere, and a session of a round-robin pool gets its home
    routing.record_commit(ASKED, routing.choose_start(ASKED, NOW), 2, None, NOW, "")
    (before_call,) = routing.records().pins
    asked = RouteRequest(target(*POOL.members, home=HomeStrategy.ROUND_ROBIN), ALONGSIDE, "")
    other = RoutingState(Pins(), digest_of)
    other.record_commit(asked, other.choose_start(asked, NOW), 0, None, NOW, "")
    (at_home,) = other.records().pins

    # then
    assert in_call.reason is FailureClass.RATE_LIMIT
    assert (before_call.member_id, before_call.reason) == ("c", SkipReason.QUOTA_DEADLINE)
    assert at_home.reason is None


def test_the_last_failure_of_a_member_is_kept_until_its_breaker_is_forgotten() -> None:
    # given room for one breaker, and a member that has failed once and then answered
    breakers = Breakers(capacity=1)
    a, b, _ = POOL.members
    breakers.record(POOL, a, Permit(0), FailureClass.STREAM_TRUNCATED, NOW)
    breakers.record(POOL, a, Permit(0), None, LATER)
    breakers.record(POOL, a, Permit(0), FailureClass.RATE_LIMIT, LATER)
    kept = list(breakers.records().values())

    # when another member fails, and the first one answers late that its request is wrong
    breakers.record(POOL, b, Permit(0), FailureClass.SERVER_ERROR, LATER)
    breakers.record(POOL, a, Permit(0), FailureClass.INVALID_REQUEST, LATER)

    # then
    assert kept == [(Breaker(), LastFailure(FailureClass.STREAM_TRUNCATED, NOW))]
    assert list(breakers.records().values()) == [
        (Breaker(consecutive_failures=1), LastFailure(FailureClass.SERVER_ERROR, LATER))
    ]


def test_members_are_told_sorted_and_only_if_they_have_failed() -> None:
    # given two targets, in one of which two members have failed, the last one first
    routing = RoutingState(Pins(), digest_of)
    alone = replace(target(member("a")), pool=replace(target(member("a")).pool, id="alone"))
    for failed in reversed(POOL.members[1:]):
        admission = routing.admit(POOL, failed, NOW, 65.0)
        routing.record_result(POOL, failed, admission, FailureClass.SERVER_ERROR, NOW)
    admission = routing.admit(alone, alone.members[0], NOW, 65.0)
    routing.record_result(alone, alone.members[0], admission, FailureClass.SERVER_ERROR, NOW)

    # when
    told = routing.records().members([POOL, alone], NOW)

    # then
    names = [(each.target_id, each.member_id) for each in told]
    assert names == [("alone", "a"), ("pool", "b"), ("pool", "c")]


def test_the_circuit_that_changed_longest_ago_is_forgotten_beyond_the_capacity() -> None:
    # given circuits that one failure opens, with room for two
    breakers = Breakers(capacity=2)
    pools = [
        target(member("a"), id=f"p{n}", breaker=BreakerPolicy(failure_threshold=1))
        for n in range(3)
    ]

    # when three open
    for each in pools:
        permit = breakers.admit(each, each.members[0], NOW, 65.0)
        breakers.record(each, each.members[0], permit, FailureClass.SERVER_ERROR, NOW)

    # then
    open_now = [breakers.skip(each, each.members[0], NOW) is not None for each in pools]
    assert open_now == [False, True, True]


def test_changes_of_a_circuit_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    # given a circuit that one failure opens for 30 s
    caplog.set_level("INFO")
    breakers, pool = Breakers(), target(member("a"), breaker=BreakerPolicy(failure_threshold=1))
    (one,) = pool.members

    # when it opens, is probed, and closes
    permit = breakers.admit(pool, one, NOW, 65.0)
    breakers.record(pool, one, permit, FailureClass.SERVER_ERROR, NOW)
    probe = breakers.admit(pool, one, at(30), 65.0)
    breakers.record(pool, one, probe, None, at(31))

    # then
    facts = [vars(record) for record in caplog.records]
    assert [(f["levelname"], f["state"], f["generation"]) for f in facts] == [
        ("WARNING", "open", 1),
        ("INFO", "half_open", 2),
        ("INFO", "closed", 3),
    ]
    assert {(f["msg"], f["target_id"], f["member_id"]) for f in facts} == {
        ("circuit breaker changed", "pool", "a")
    }


def test_a_member_recovers_when_neither_its_limit_nor_its_circuit_keeps_it() -> None:
    # given a member limited for 50 s, whose circuit is open for 30 s
    routing = RoutingState(Pins(), digest_of)
    pool = target(member("a"), member("b"), breaker=BreakerPolicy(failure_threshold=1))
    one, other = pool.members
    routing.record_failure(one, Failure(FailureClass.RATE_LIMIT, 429, 50.0), NOW)
    for each in pool.members:
        permit = routing.admit(pool, each, NOW, 65.0)
        routing.record_result(pool, each, permit, FailureClass.SERVER_ERROR, NOW)

    # when, then
    assert routing.recovers_in_s(pool, [one], NOW) == 50.0
    assert routing.recovers_in_s(pool, [one, other], at(10)) == 20.0


@pytest.mark.parametrize(
    ("moves", "reason"), [(True, "circuit_open"), (False, "quota_deadline")], ids=["moves", "stays"]
)
def test_of_two_reasons_the_one_that_moves_the_session_counts(moves: bool, reason: str) -> None:
    # given a limited member whose circuit is open
    routing = RoutingState(Pins(), digest_of)
    pool = target(
        member("a"),
        member("b"),
        breaker=BreakerPolicy(failure_threshold=1),
        switch=SwitchPolicy(on_circuit_open=moves),
    )
    permit = routing.admit(pool, pool.members[0], NOW, 65.0)
    routing.record_result(pool, pool.members[0], permit, FailureClass.SERVER_ERROR, NOW)
    routing.record_failure(pool.members[0], LIMITED, NOW)

    # when
    skip = routing.health(RouteRequest(pool, ALONGSIDE, ""), NOW)[0]

    # then
    assert skip is not None
    assert (skip.reason.value, skip.moves) == (reason, True)
