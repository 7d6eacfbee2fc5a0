"""Waits for the hint of a member that refuses for quota or load."""

from __future__ import annotations

import asyncio

import pytest

from services.router.core.decision import AttemptKind, AttemptOutcome
from services.router.core.failures import FailureClass
from services.router.core.model import SwitchPolicy
from tests.unit.router.in_memory_router import limited, refused, router_of

INITIAL, RETRY = AttemptKind.INITIAL, AttemptKind.RETRY
FAILED, SUCCEEDED = AttemptOutcome.FAILED, AttemptOutcome.SUCCEEDED


@pytest.mark.parametrize(("hint_s", "max_wait_s"), [(10.0, 10.0), (59.5, 60.0)])
async def test_a_hint_within_the_wait_is_waited_for_without_retries_in_place(
    hint_s: float, max_wait_s: float
) -> None:
    # given
    async with router_of("solo", in_place_retries=0) as (running, _):
        running.provider.will("solo", limited(hint_s))

        # when
        asking = asyncio.create_task(running.ask(max_wait_s=max_wait_s))
        await running.settle()
        before = list(running.provider.calls)
        running.clock.advance(hint_s)
        outcome = await asking

        # then
        assert before == ["solo"]
        assert outcome.path == [("solo", INITIAL, FAILED), ("solo", RETRY, SUCCEEDED)]


@pytest.mark.parametrize(("hint_s", "max_wait_s"), [(0.0, 0.0), (1.0, 0.0), (10.5, 10.0)])
async def test_a_hint_beyond_the_wait_is_returned_at_once(hint_s: float, max_wait_s: float) -> None:
    # given
    async with router_of("solo", in_place_retries=3) as (running, _):
        running.provider.will("solo", limited(hint_s))

        # when
        outcome = await running.ask(max_wait_s=max_wait_s)

        # then
        assert (outcome.reason, outcome.error.retry_after_s) == ("UPSTREAM_EXHAUSTED", hint_s)
        assert running.provider.calls == ["solo"]


async def test_a_member_is_waited_for_once() -> None:
    # given one that refuses again after the wait
    async with router_of("solo", in_place_retries=3) as (running, _):
        running.provider.will("solo", limited(2.0), limited(2.0))

        # when
        asking = asyncio.create_task(running.ask())
        await running.settle()
        running.clock.advance(2.0)
        outcome = await asking

        # then
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert running.provider.calls == ["solo", "solo"]


@pytest.mark.parametrize(("max_wait_s", "answered"), [(8.0, True), (7.5, False)])
async def test_the_waits_of_a_call_share_its_time(max_wait_s: float, answered: bool) -> None:
    # given a pool that waits, a home that fails for good after the wait, and a limited second one
    async with router_of("a", "b", switch=SwitchPolicy(quota_threshold_s=60.0)) as (
        running,
        (home, second),
    ):
        running.provider.will(home, limited(4.0), refused(FailureClass.AUTH, 401))
        running.provider.will(second, limited(4.0))

        # when
        asking = asyncio.create_task(running.ask(max_wait_s=max_wait_s))
        await running.settle()
        running.clock.advance(4.0)
        await running.settle()
        running.clock.advance(4.0)
        outcome = await asking

        # then
        assert (outcome.raised is None) is answered
        assert running.provider.calls == [home, home, second, *([second] if answered else [])]


async def test_a_wait_is_no_retry_of_a_failure() -> None:
    # given a pool with one retry, and a member that is limited, and then fails
    async with router_of("solo", in_place_retries=1) as (running, _):
        running.provider.will("solo", limited(1.0), refused(FailureClass.SERVER_ERROR, 500))

        # when
        asking = asyncio.create_task(running.ask())
        await running.settle()
        running.clock.advance(1.0)
        outcome = await asking

        # then
        assert outcome.text == "ok"
        assert [kind for _, kind, _ in outcome.path] == [INITIAL, RETRY, RETRY]
