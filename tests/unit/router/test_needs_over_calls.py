"""Sessions of a pool in which not every member can do what a request needs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from services.content.model import Image, Message, Role
from services.router.clients.credentials import digest_of
from services.router.core.decision import SkipReason, Sticky
from services.router.core.failures import Failure, FailureClass
from services.router.core.model import Feature, HomeStrategy, SwitchPolicy, Target
from services.router.core.needs import needs_of
from services.router.core.pins import Pins
from services.router.core.request import Prompt
from services.router.core.session import Session, SessionKey
from services.router.engine.routing_state import RouteRequest, RoutingState
from tests.unit.router.builders import NOW, at, member, target
from tests.unit.router.in_memory_router import Router, limited, refused, router

PICTURE = Prompt((Message(Role.USER, (Image(url="http://image.example"),)),))
RATE_LIMIT = FailureClass.RATE_LIMIT
BLIND = {"lacks": frozenset({Feature.IMAGES})}
# On ``a``, which sees no images, every session is at home; ``b`` and ``c`` see them.
IN_ORDER: dict[str, Any] = {"home": HomeStrategy.FIRST_HEALTHY}


def one_blind(**pool: Any) -> Target:
    members = (member("a", **BLIND), member("b"), member("c"))
    return target(*members, **{**IN_ORDER, **pool})


@asynccontextmanager
async def blind_router(**pool: Any) -> AsyncIterator[Router]:
    async with router(one_blind(**pool)) as running:
        yield running


async def test_a_call_goes_to_a_member_that_can_and_the_session_stays_at_home() -> None:
    async with blind_router() as running:
        # when a session shows a picture between two texts
        asked = [await running.ask(**each) for each in ({}, {"prompt": PICTURE}, {})]

        # then
        assert running.provider.calls == ["a", "b", "a"]
        assert [each.decision.sticky for each in asked] == [Sticky.HOME] * 3
        assert [each.decision.home_member_id for each in asked] == ["a", "b", "a"]
        skips = [(s.member_id, s.reason, s.detail) for s in asked[1].decision.skipped]
        assert skips == [("a", SkipReason.INCAPABLE, "images")]
        assert len(running.pins) == 0


async def test_a_session_that_fails_over_from_such_a_member_stays_where_it_went() -> None:
    """What is always needed has a home of its own, which is left and kept like any other."""
    async with blind_router() as running:
        # given a session that shows pictures, and fails over once
        running.provider.will("b", limited(30.0))
        first = await running.ask(prompt=PICTURE)
        running.clock.advance(60.0)

        # when
        later = await running.ask(prompt=PICTURE)

        # then
        assert running.provider.calls == ["b", "c", "c"]
        stickies = [first.decision.sticky, later.decision.sticky]
        assert stickies == [Sticky.MOVED, Sticky.PINNED]


async def test_a_pin_to_a_member_that_cannot_stays() -> None:
    # given a pool whose last member is blind, and a session that has moved there
    members = (member("a"), member("b"), member("c", **BLIND))
    async with router(target(*members, **IN_ORDER)) as running:
        for each in ("a", "b"):
            running.provider.will(each, limited(30.0))
        await running.ask()
        running.clock.advance(60.0)

        # when it shows a picture, also one on which the other member fails, and then writes
        picture = await running.ask(prompt=PICTURE)
        running.provider.will("a", limited(30.0))
        failed_over = await running.ask(prompt=PICTURE)
        text = await running.ask()

        # then
        assert running.provider.calls == ["a", "b", "c", "a", "a", "b", "c"]
        stickies = [each.decision.sticky for each in (picture, failed_over, text)]
        assert stickies == [Sticky.THIS_CALL_ONLY, Sticky.THIS_CALL_ONLY, Sticky.PINNED]
        (pin,) = running.pins.all()
        assert (pin.member_id, pin.reason) == ("c", FailureClass.RATE_LIMIT)
        assert (pin.moved_at, pin.used_at) == (at(0), at(60))


async def test_a_session_that_has_moved_stays_although_its_call_is_at_home_there() -> None:
    async with blind_router() as running:
        # given a session that has moved to the home of pictures
        running.provider.will("a", limited(30.0))
        await running.ask()
        running.clock.advance(60.0)

        # when
        picture, text = await running.ask(prompt=PICTURE), await running.ask()

        # then
        assert running.provider.calls == ["a", "b", "b", "b"]
        assert (picture.decision.sticky, text.decision.sticky) == (Sticky.PINNED, Sticky.PINNED)


async def test_no_move_is_charged_to_the_budget() -> None:
    # given a pool that allows no move, and whose only home is blind
    members = (member("a", **BLIND), member("b", failover_only=True))
    pool = target(*members, switch=SwitchPolicy(max_switches=0))
    async with router(pool) as running:
        # when
        picture, text = await running.ask(prompt=PICTURE), await running.ask()

        # then
        assert running.provider.calls == ["b", "a"]
        stickies = (picture.decision.sticky, text.decision.sticky)
        assert stickies == (Sticky.THIS_CALL_ONLY, Sticky.HOME)


def test_a_call_that_goes_elsewhere_leaves_the_incident_where_it_is() -> None:
    # given a session that may move once, and has moved to a blind member
    members = (member("a"), member("b"), member("c", **BLIND))
    pool = target(*members, **IN_ORDER, switch=SwitchPolicy(max_switches=1))
    routing = RoutingState(Pins(), digest_of)
    text = RouteRequest(pool, SessionKey("default", "thread:t1"), "")
    routing.choose_start(text, NOW)
    routing.record_move(text, 0, 2, FailureClass.SERVER_ERROR, NOW)
    routing.record_commit(text, routing.choose(text, NOW), 2, Failure(RATE_LIMIT), NOW, "")

    # when it shows a picture, which goes elsewhere
    routing.choose_start(replace(text, needs=needs_of(PICTURE)), NOW)

    # then a call that failed beside it follows it for nothing
    assert routing.may_move(text, 2, NOW)
    assert not routing.may_move(text, 1, NOW)


async def test_a_home_by_round_robin_stays_while_a_call_goes_elsewhere() -> None:
    async with blind_router(home=HomeStrategy.ROUND_ROBIN) as running:
        # given a session whose turn it was to be at home on the blind member
        await running.ask()

        # when it shows a picture and writes again, and another session begins
        picture = await running.ask(prompt=PICTURE)
        text = await running.ask()
        other = await running.ask(Session(thread_id="t2"))

        # then
        assert picture.decision.member_id in {"b", "c"}
        assert picture.decision.sticky is Sticky.THIS_CALL_ONLY
        assert (text.decision.member_id, other.decision.member_id) == ("a", "b")


async def test_a_new_session_that_no_home_can_serve_gets_no_home_by_round_robin() -> None:
    # given
    members = (member("a", **BLIND), member("b", **BLIND), member("c", failover_only=True))
    pool = target(*members, home=HomeStrategy.ROUND_ROBIN)
    async with router(pool) as running:
        # when
        await running.ask(Session(thread_id="t0"), prompt=PICTURE)
        others = [await running.ask(Session(thread_id=each)) for each in ("t1", "t2")]

        # then
        assert running.provider.calls == ["c", "a", "b"]
        assert [each.decision.sticky for each in others] == [Sticky.HOME] * 2


async def test_with_nobody_left_who_can_the_error_waits_for_those_who_can() -> None:
    # given a blind member in a short deadline, and the others in longer ones
    async with blind_router() as running:
        for each, hint_s in (("a", 5.0), ("b", 20.0), ("c", 30.0)):
            running.provider.will(each, limited(hint_s))
        await running.ask()

        # when
        outcome = await running.ask(prompt=PICTURE)

        # then
        assert running.provider.calls == ["a", "b", "c"]
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert outcome.error.retry_after_s == 20.0
        causes = json.loads(outcome.error.metadata["causes"])
        assert causes["a"] == "incapable images"


async def test_after_those_who_can_have_failed_the_error_waits_for_them_too() -> None:
    # given a blind member in a short deadline
    async with blind_router(switch=SwitchPolicy(on_retry_exhausted=True)) as running:
        running.provider.will("a", limited(5.0))
        await running.ask(Session(thread_id="other"))
        running.provider.will("b", limited(20.0))
        running.provider.will("c", limited(30.0))

        # when
        outcome = await running.ask(prompt=PICTURE)

        # then
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert outcome.error.retry_after_s == 20.0


@pytest.mark.parametrize("kind", [FailureClass.RATE_LIMIT, FailureClass.SERVER_ERROR])
async def test_no_call_fails_over_to_a_member_that_cannot(kind: FailureClass) -> None:
    # given a blind member beside one that fails
    members = (member("a"), member("b", **BLIND))
    pool = target(*members, **IN_ORDER, switch=SwitchPolicy(on_retry_exhausted=True))
    async with router(pool) as running:
        running.provider.always("a", refused(kind))

        # when
        outcome = await running.ask(prompt=PICTURE)

        # then
        assert set(running.provider.calls) == {"a"}
        assert outcome.raised is not None
