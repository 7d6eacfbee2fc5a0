"""The budget of moves: of the rules, and over calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.chassis.errors import ErrorKind
from services.router.core.decision import Skipped, SkipReason, Sticky
from services.router.core.failures import Failure, FailureClass
from services.router.core.incidents import (
    Incident,
    Incidents,
    after_move,
    may_move,
    switches_left,
)
from services.router.core.items import Opened, TextDelta
from services.router.core.model import BreakerPolicy, HomeStrategy, SwitchPolicy
from services.router.core.session import Session
from tests.support.scripted_adapter import Break, Hang, Wait, reply
from tests.unit.router.in_memory_router import limited, refused, router_of

UNKNOWN = ("default", "pool", "r1", "thread:unknown")
FAULT = refused(FailureClass.SERVER_ERROR, 500)


def budget(max_switches: int, **switch: Any) -> dict[str, Any]:
    """Settings of a pool whose members are ranked as declared."""
    policy = SwitchPolicy(max_switches=max_switches, **switch)
    return {"switch": policy, "home": HomeStrategy.FIRST_HEALTHY, "in_place_retries": 0}


def test_moves_are_counted_until_one_leads_to_where_the_session_is() -> None:
    # when
    first = after_move(None, "b", "")
    follower = after_move(first, "b", "")
    second = after_move(follower, "c", "")

    # then
    assert (first, follower, second) == (Incident(1, "b"), Incident(1, "b"), Incident(2, "c"))


def test_a_move_to_where_the_session_is_pinned_counts_nothing() -> None:
    assert after_move(None, "b", "b") == Incident(0, "b")
    assert after_move(Incident(1, "c"), "b", "b") == Incident(2, "b")


@pytest.mark.parametrize(
    ("before", "to", "limit", "allowed"),
    [
        (None, "b", None, True),
        (None, "b", 0, False),
        (None, "b", 1, True),
        (Incident(1, "b"), "c", 1, False),
        (Incident(1, "b"), "b", 1, True),
        (Incident(1, "b"), "c", 2, True),
    ],
)
def test_a_move_is_allowed_within_the_budget(
    before: Incident | None, to: str, limit: int | None, allowed: bool
) -> None:
    assert may_move(before, to, "", limit) is allowed


@pytest.mark.parametrize(
    ("before", "limit", "left"),
    [
        (None, None, None),
        (None, 2, 2),
        (Incident(1, "b"), 2, 1),
        (Incident(2, "c"), 2, 0),
        (Incident(3, "c"), 2, 0),
    ],
)
def test_the_budget_leaves_what_was_not_counted(
    before: Incident | None, limit: int | None, left: int | None
) -> None:
    assert switches_left(before, limit) == left


def test_incidents_are_forgotten_at_their_end_and_beyond_the_capacity() -> None:
    # given room for two
    incidents = Incidents(capacity=2)
    keys = [("default", "pool", "r1", f"thread:t{n}") for n in range(3)]

    # when
    for key in keys:
        incidents.move(key, "b", "")
    incidents.start(keys[1], "a")
    incidents.end(keys[2])
    incidents.end(keys[2])
    incidents.start(UNKNOWN, "a")

    # then
    found = [incidents.find(key) for key in [*keys, UNKNOWN]]
    assert found == [None, Incident(1, "a"), None, None]


async def test_when_the_budget_is_spent_the_last_providers_error_is_returned() -> None:
    # given three limited members, and one move
    async with router_of(**budget(1)) as (running, _):
        for name, hint_s in (("a", 30.0), ("b", 20.0), ("c", 10.5)):
            running.provider.always(name, limited(hint_s))

        # when
        outcome = await running.ask()

        # then
        assert running.provider.calls == ["a", "b"]
        assert outcome.error.kind is ErrorKind.EXHAUSTED
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert (outcome.error.metadata["member_id"], outcome.error.retry_after_s) == ("b", 20.0)
        assert outcome.decision.skipped == (Skipped("c", SkipReason.LIMIT_REACHED),)


async def test_a_budget_of_0_never_moves() -> None:
    # given a limited home
    async with router_of("a", "b", **budget(0)) as (running, _):
        running.provider.always("a", limited(30.0))

        # when it fails, and when it is set aside before the call
        failed, before = await running.ask(), await running.ask()
        running.clock.advance(10)
        other_session = await running.ask(Session(thread_id="t2"))

        # then
        assert running.provider.calls == ["a"]
        assert failed.reason == before.reason == other_session.reason == "UPSTREAM_EXHAUSTED"
        assert before.error.message == (
            "model 'a' is not called: the limit of its provider has not passed"
        )
        assert other_session.error.retry_after_s == 20.0
        assert before.decision.sticky is Sticky.HOME
        assert [(s.member_id, s.reason.value) for s in before.decision.skipped] == [
            ("a", "quota_deadline"),
            ("b", "limit_reached"),
        ]


async def test_moves_before_a_call_and_after_an_error_share_the_budget() -> None:
    # given a home whose circuit is open, a second member that is limited, and one move
    breaker = BreakerPolicy(failure_threshold=1, cooldown_s=60.0)
    async with router_of(breaker=breaker, **budget(1)) as (running, _):
        running.provider.will("a", FAULT)
        await running.ask(Session(thread_id="other"))
        running.provider.calls.clear()
        running.provider.always("b", limited(30.0))

        # when
        outcome = await running.ask()
        again = await running.ask()

        # then the move before the call was the one
        assert running.provider.calls == ["b"]
        assert (outcome.reason, outcome.error.metadata["member_id"]) == ("UPSTREAM_EXHAUSTED", "b")
        assert again.reason == "UPSTREAM_FAILED"
        assert again.error.message == "model 'a' is not called: the circuit breaker is open"


async def test_a_complete_answer_resets_the_budget() -> None:
    # given one move, and a second member that is limited after its first answer
    async with router_of(**budget(1)) as (running, _):
        running.provider.will("a", limited(300.0))
        running.provider.will("b", reply(), limited(300.0))

        # when
        outcomes = [await running.ask() for _ in range(2)]

        # then
        assert [outcome.decision.member_id for outcome in outcomes] == ["b", "c"]


async def test_refused_content_resets_the_budget() -> None:
    # given one move, used for a call whose content the second member refused
    async with router_of("a", "b", **budget(1)) as (running, _):
        running.provider.will("a", limited(1.0), limited(1.0))
        running.provider.will("b", refused(FailureClass.CONTENT_POLICY, 400))
        await running.ask()
        running.clock.advance(1)

        # when the home is limited again
        outcome = await running.ask()

        # then
        assert outcome.text == "ok"
        assert running.provider.calls == ["a", "b", "a", "b"]


async def test_a_stream_that_broke_does_not_reset_the_budget() -> None:
    # given one move, and a second member that breaks off
    cut: list[Any] = [[Opened(), TextDelta("x")], Break(Failure(FailureClass.RATE_LIMIT, 429, 60))]
    async with router_of(**budget(1)) as (running, _):
        running.provider.will("a", limited(300.0))
        running.provider.will("b", cut)

        # when
        broken, after = await running.ask(), await running.ask()

        # then the session does not move on to the third member
        assert broken.reason == "STREAM_INTERRUPTED"
        assert (after.reason, after.error.metadata["member_id"]) == ("UPSTREAM_EXHAUSTED", "b")
        assert after.decision.sticky is Sticky.PINNED
        assert running.provider.calls == ["a", "b"]


async def test_the_same_member_left_again_counts_again() -> None:
    # given two moves, and members that fail for one call each time
    async with router_of("a", "b", **budget(2, on_retry_exhausted=True)) as (running, _):
        running.provider.always("a", FAULT)
        running.provider.always("b", FAULT)

        # when three calls leave the home one after the other
        outcomes = [await running.ask() for _ in range(3)]

        # then
        assert [o.reason for o in outcomes] == ["MEMBERS_EXHAUSTED"] * 2 + ["UPSTREAM_FAILED"]
        assert running.provider.calls == ["a", "b", "a", "b", "a"]


async def test_concurrent_calls_that_fail_on_the_same_member_spend_one_move() -> None:
    # given three calls of one session at its home, and one move
    async with router_of(**budget(1)) as (running, _):
        failing = asyncio.Event()
        limit = Break(Failure(FailureClass.RATE_LIMIT, 429, 30.0))
        running.provider.always("a", [[Opened()], Wait(failing), limit])
        running.provider.always("b", [Hang()])
        asking = [asyncio.create_task(running.ask_alongside()) for _ in range(3)]
        await running.settle()

        # when all three fail there, and a fourth one comes
        failing.set()
        await running.settle()
        asking.append(asyncio.create_task(running.ask_alongside()))
        await running.settle()
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

        # then all are on the second member
        assert running.provider.calls == ["a"] * 3 + ["b"] * 4


async def test_a_late_failure_follows_the_session_to_where_it_is_pinned() -> None:
    # given one move, a slow call at home, and another one that has moved the session to "b"
    async with router_of(**budget(1)) as (running, _):
        failing = asyncio.Event()
        limit = Failure(FailureClass.RATE_LIMIT, 429, 30.0)
        running.provider.will("a", [[Opened()], Wait(failing), Break(limit)], limited(30.0))
        running.provider.will("b", reply(), limited(30.0))
        slow = asyncio.create_task(running.ask_alongside())
        await running.settle()
        moved = await running.ask_alongside()

        # when the slow one fails at home, and on "b"
        failing.set()
        outcome = await slow

        # then its move to "b" counted nothing
        assert moved.decision.member_id == "b"
        assert [attempt.member_id for attempt in outcome.decision.attempts] == ["a", "b", "c"]
        assert outcome.text == "ok"
