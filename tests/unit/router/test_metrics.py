"""The metrics of calls: what was asked of providers, who moved, who left, and what it cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

import pytest

from services.content.model import FinishReason, Usage
from services.router.core.failures import Failure, FailureClass
from services.router.core.items import Finished, Opened, TextDelta, UsageReport
from services.router.core.model import BreakerPolicy, SwitchPolicy
from services.router.core.quota_windows import QuotaWindow
from services.router.engine.control import RoutingControl
from services.router.engine.telemetry_names import CIRCUITS, RETRY_TOKENS
from tests.support.metrics import Measured, measuring
from tests.support.scripted_adapter import Action, Break, Hang, Refuse, Wait
from tests.unit.router.builders import member
from tests.unit.router.in_memory_router import Router, limited, refused, router_of

USAGE = Usage(input_tokens=100, output_tokens=20, cache_read_input_tokens=60)
ANSWER: list[Action] = [
    [Opened(), TextDelta("a")],
    [UsageReport(USAGE), Finished(FinishReason.STOP)],
]


@pytest.fixture
def measured() -> Iterator[Measured]:
    with measuring() as found:
        yield found


def short(values: Mapping[tuple[tuple[str, Any], ...], float], *names: str) -> dict[Any, float]:
    """Values by these attributes alone."""
    return {tuple(dict(key).get(name) for name in names): value for key, value in values.items()}


async def test_each_attempt_is_measured_with_its_tokens(measured: Measured) -> None:
    # given a home that is limited
    async with router_of("a", "b") as (running, (home, other)):
        running.provider.will(home, limited())
        running.provider.will(other, ANSWER)

        # when
        await running.ask()

    # then
    durations = measured.values("gen_ai.client.inference.duration")
    assert short(durations, "router.member.id", "error.type") == {
        (home, "rate_limit"): 1,
        (other, None): 1,
    }
    assert {dict(key)["gen_ai.operation.name"] for key in durations} == {"chat"}
    firsts = measured.values("gen_ai.client.inference.time_to_first_chunk")
    assert short(firsts, "router.member.id") == {(other,): 1}
    assert short(measured.values("router.tokens"), "router.member.id", "gen_ai.token.type") == {
        (other, "input"): 100,
        (other, "output"): 20,
        (other, "cache_read"): 60,
    }
    assert short(
        measured.values("router.failovers"),
        "router.failover.from",
        "router.failover.to",
        "router.failover.reason",
    ) == {(home, other, "rate_limit"): 1}


async def test_calls_are_counted_by_how_their_session_is_routed(measured: Measured) -> None:
    # given
    async with router_of("a", "b") as (running, (home, _)):
        running.provider.will(home, limited())

        # when a session moves, and calls again
        await running.ask()
        await running.ask()

    # then
    assert short(measured.values("router.sticky"), "router.target", "router.sticky") == {
        ("pool", "moved"): 1,
        ("pool", "pinned"): 1,
    }


async def test_the_overhead_leaves_out_providers_and_pauses(measured: Measured) -> None:
    # given a provider that asks for 2 s, and 1 s to the first content
    async with router_of("solo") as (running, _):
        content = asyncio.Event()
        slow: list[Action] = [Wait(content), *ANSWER]
        running.provider.will("solo", limited(2.0), slow)
        asking = asyncio.create_task(running.ask())
        await running.pass_time(3.0)
        content.set()

        # when
        await asking

    # then
    (point,) = measured.points("router.overhead").values()
    assert (point.count, round(point.sum, 3)) == (1, 0.0)


async def test_an_answer_that_breaks_off_is_counted(measured: Measured) -> None:
    # given
    async with router_of("a", "b") as (running, (home, _)):
        broken = Break(Failure(FailureClass.STREAM_TRUNCATED))
        running.provider.will(home, [[Opened(), TextDelta("a")], broken])

        # when
        await running.ask()

    # then
    values = measured.values("router.interrupted")
    assert short(values, "router.target", "router.member.id", "error.type") == {
        ("pool", home, "stream_truncated"): 1
    }


async def leave_while_opening(running: Router) -> None:
    running.provider.always("solo", [Hang()])
    await cancelled(running)


async def leave_while_streaming(running: Router) -> None:
    running.provider.always("solo", [[Opened(), TextDelta("a")], Hang()])
    await cancelled(running)


async def leave_while_pausing(running: Router) -> None:
    running.provider.always("solo", limited(5.0))
    await cancelled(running)


async def leave_while_delivering(running: Router) -> None:
    running.provider.always("solo", ANSWER)
    async with aclosing(running.begin().frames()) as frames:
        async for frame in frames:
            if isinstance(frame[-1], Finished):
                break


async def cancelled(running: Router) -> None:
    asking = asyncio.create_task(running.ask_alongside())
    await running.settle()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize(
    ("leave", "where"),
    [
        (leave_while_opening, "opening"),
        (leave_while_streaming, "streaming"),
        (leave_while_pausing, "pausing"),
        (leave_while_delivering, "delivering"),
    ],
)
async def test_a_caller_that_leaves_is_counted_by_where(
    measured: Measured, leave: Any, where: str
) -> None:
    # given
    async with router_of("solo") as (running, _):
        # when
        await leave(running)

    # then
    values = measured.values("router.cancelled")
    assert short(values, "router.target", "router.cancelled.where") == {("pool", where): 1}


async def test_a_whole_answer_is_no_cancelled_one(measured: Measured) -> None:
    async with router_of("solo") as (running, _):
        await running.ask()

    assert measured.values("router.cancelled") == {}
    assert measured.values("router.interrupted") == {}


@pytest.fixture
async def breaking() -> AsyncIterator[Router]:
    """A pool whose circuits open at the first failure, for 30 s; without repeats."""
    async with router_of(
        "a",
        "b",
        breaker=BreakerPolicy(failure_threshold=1, cooldown_s=30.0),
        in_place_retries=0,
        switch=SwitchPolicy(on_circuit_open=True),
    ) as (running, _):
        yield running


async def test_circuits_are_shown_with_their_changes(measured: Measured, breaking: Router) -> None:
    # given
    control = RoutingControl(breaking.snapshots, breaking.routing, breaking.clock, "instance")
    home = (await breaking.ask()).decision.home_member_id
    with CIRCUITS.observing(control.circuits):
        assert measured.values("router.breaker.state") == {}

        # when
        breaking.provider.will(home, refused(FailureClass.SERVER_ERROR, 500))
        await breaking.ask()

        # then
        facts = "router.target", "router.member.id", "router.circuit"
        assert short(measured.values("router.breaker.state"), *facts) == {("pool", home, "open"): 1}
        changes = measured.values("router.breaker.transitions")
        assert short(changes, *facts) == {("pool", home, "open"): 1}


async def test_what_remains_of_limits_is_shown(measured: Measured) -> None:
    # given an answer and a refusal that tell of limits
    told = [
        QuotaWindow("requests", 500, 499, None, "x-ratelimit"),
        QuotaWindow("tokens", 500, None, None, "x-ratelimit"),
        QuotaWindow("a word of its own", None, 3, None, "x-ratelimit"),
    ]
    left = (QuotaWindow("requests", 500, 0, None, "x-ratelimit"),)
    answer: list[Action] = [[Opened(windows=tuple(told))], *ANSWER]
    async with router_of("solo") as (running, _):
        running.provider.will("solo", answer)
        running.provider.will("solo", [Refuse(Failure(FailureClass.RATE_LIMIT, 429, windows=left))])

        # when
        await running.ask()
        first = short(measured.values("router.quota.remaining"), "router.quota.kind")
        await running.ask()

    # then
    assert first == {("requests",): 499, ("other",): 3}
    values = measured.values("router.quota.remaining")
    facts = "router.provider.id", "gen_ai.request.model", "router.quota.kind"
    solo = member("solo")
    whose = solo.provider.id, solo.model.upstream_model
    assert short(values, *facts) == {(*whose, "requests"): 0, (*whose, "other"): 3}


async def test_the_tokens_of_the_retry_budget_are_shown(measured: Measured) -> None:
    # given a budget of 10
    async with router_of("solo") as (running, _):
        running.provider.will("solo", refused(FailureClass.SERVER_ERROR, 500))
        with RETRY_TOKENS.observing(running.retries.observed):
            assert measured.total("router.retry_budget.tokens") == 10

            # when a call takes one, and has earned a tenth
            asking = asyncio.create_task(running.ask_alongside())
            await running.settle()

            # then
            assert measured.total("router.retry_budget.tokens") == 9
            await running.pass_time(1.0)
            await asking
