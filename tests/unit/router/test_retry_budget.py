from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.core.failures import FailureClass
from services.router.core.model import BreakerPolicy, HomeStrategy, SwitchPolicy
from services.router.core.retry_budget import RetryBudget, take_token
from services.router.core.session import Session
from tests.unit.router.in_memory_router import Router, limited, refused, router_of

FAULT = refused(FailureClass.SERVER_ERROR, 500)
# So that no circuit opens.
NEVER = BreakerPolicy(failure_threshold=1000)


def granted_of(budget: RetryBudget, asked: int, calls: int = 0, now_s: float = 0.0) -> int:
    """How many of so many retries are granted at once."""
    granted = 0
    for _ in range(asked):
        budget, one = take_token(budget, calls, now_s)
        granted += one
    return granted


def test_ten_retries_are_granted_at_once() -> None:
    assert granted_of(RetryBudget(10.0, 0.0), 30) == 10


@pytest.mark.parametrize(
    ("calls", "now_s", "granted"),
    [(0, 1.0, 3), (0, 0.3, 0), (10, 0.0, 1), (9, 0.0, 0), (20, 1.0, 5), (1000, 60.0, 10)],
    ids=["3 a second", "not yet", "1 of 10 calls", "not of 9", "both", "the burst at most"],
)
def test_tokens_come_with_time_and_with_calls(calls: int, now_s: float, granted: int) -> None:
    assert granted_of(RetryBudget(0.0, 0.0), 30, calls, now_s) == granted


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20), st.integers(0, 10)), max_size=60))
def test_retries_stay_within_a_tenth_of_the_calls_and_the_floor(
    steps: list[tuple[int, int, int]],
) -> None:
    # given calls, seconds and retries that are asked for
    budget, calls, now_s, granted = RetryBudget(10.0, 0.0), 0, 0, 0
    for more_calls, seconds, asked in steps:
        calls, now_s = calls + more_calls, now_s + seconds

        # when
        for _ in range(asked):
            budget, one = take_token(budget, calls, float(now_s))
            granted += one

        # then
        assert granted <= 10 + 3 * now_s + calls / 10 + 1e-6
        assert 0 <= budget.tokens <= 10


async def spend_budget(running: Router) -> None:
    """20 calls of other sessions fail on member "a" within the same second."""
    running.provider.always("a", FAULT)
    for n in range(20):
        await running.ask(Session(thread_id=f"other{n}"))


async def test_when_the_budget_is_spent_a_failure_is_not_repeated_in_place() -> None:
    # given
    async with router_of("a", breaker=NEVER) as (running, _):
        # when
        await spend_budget(running)
        within = len(running.provider.calls)
        running.clock.advance(1)
        outcome = await running.ask()

        # then the repeats were the burst of 10, and 1 for the 19 calls after the first
        assert within == 20 + 11
        assert len(outcome.decision.attempts) == 2
        assert outcome.reason == "UPSTREAM_FAILED"


async def test_when_the_budget_is_spent_a_hint_is_not_waited_for() -> None:
    # given a member that asks for a pause of 2 s
    async with router_of("a", breaker=NEVER) as (running, _):
        await spend_budget(running)
        running.provider.will("a", limited(2.0))

        # when
        outcome = await running.ask()

        # then
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert len(outcome.decision.attempts) == 1


async def test_when_the_budget_is_spent_the_call_fails_over_if_the_pool_says_so() -> None:
    # given
    switch = SwitchPolicy(on_retry_exhausted=True)
    settings = {"breaker": NEVER, "switch": switch, "home": HomeStrategy.FIRST_HEALTHY}
    async with router_of("a", "b", **settings) as (running, _):
        await spend_budget(running)
        running.provider.calls.clear()

        # when
        outcome = await running.ask()

        # then
        assert running.provider.calls == ["a", "b"]
        assert outcome.text == "ok"


async def test_the_pause_before_a_repeat_is_drawn() -> None:
    # given a second repeat, which pauses 0.25 s at most, and the shortest draw
    async with router_of("a", in_place_retries=2) as (running, _):
        running.draw = 0.0
        running.provider.will("a", FAULT, FAULT)
        asking = asyncio.create_task(running.ask())
        await running.settle()

        # when half of that has passed
        running.clock.advance(0.125)
        outcome = await asking

        # then
        assert outcome.text == "ok"
