"""Three properties of circuit breakers, over gRPC: for all small numbers, not for chosen ones.

The provider speaks HTTP and does as each test says; the state is what ``GetRoutingState`` tells.
The calendar stands still, so that no circuit cools down.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    StillCalendar,
    model,
    pool,
    seconds,
    served_by,
)
from tests.support.fake_provider import Cut, FakeProvider, Pause, finish, refusal, stream, text

BROKEN = refusal(500)
# Breaks before its answer begins, once it is told to.
BREAKING = stream(Pause(), Cut())
ANSWER = stream(*text("hi"), *finish())
MOST_FAILURES = 29
THRESHOLDS = range(1, 20)
CLOSED, OPEN = pb.BREAKER_STATE_CLOSED, pb.BREAKER_STATE_OPEN


def opening_at(threshold: int, model_id: str = "m") -> reg.Resource:
    """A pool that is named after its model and its threshold, and repeats nothing."""
    return pool(
        f"{model_id}-{threshold}",
        model_id,
        breaker=reg.PoolBreaker(failure_threshold=threshold, cooldown=seconds(60)),
        retry=reg.PoolRetry(in_place=0),
    )


@dataclass
class Circuits:
    """The circuits of pools with one model each."""

    servers: RouterUnderTest
    provider: FakeProvider

    async def add(self, *pools: reg.Resource) -> None:
        """Apply the pools, and wait until the router has them."""
        await self.servers.apply(*pools)
        await self.answer(pools[-1].model_pool.id)

    async def fail(self, pool_id: str, calls: int) -> int:
        """Call while the provider fails; how many of the calls reached it."""
        before = len(self.provider.requests)
        self.provider.always(BROKEN)
        for _ in range(calls):
            assert (await self.servers.infer(pool_id)).error is not None
        return len(self.provider.requests) - before

    async def fail_together(self, pool_id: str, calls: int) -> None:
        """Let all calls through before the first one fails."""
        self.provider.always(BREAKING)
        paused = self.provider.pauses
        async with asyncio.TaskGroup() as group:
            for _ in range(calls):
                group.create_task(self.servers.infer(pool_id))
            await self.provider.until(pauses=paused + calls)
            self.provider.go_on()

    async def answer(self, pool_id: str) -> None:
        self.provider.always(ANSWER)
        assert (await self.servers.infer(pool_id)).text == "hi"

    async def state(self, pool_id: str) -> tuple[pb.BreakerState.ValueType, int]:
        """State and failures in a row; nothing is kept of a member that has not failed."""
        states = await self.servers.state(pool_id)
        if not states:
            return CLOSED, 0
        (member,) = states
        return member.breaker, member.consecutive_failures


@pytest.fixture
async def circuits(tmp_path: Path, provider: FakeProvider) -> AsyncIterator[Circuits]:
    """Models ``m`` and ``n`` of one provider."""
    servers = RouterUnderTest(tmp_path, clock=StillCalendar())
    try:
        await servers.start_registry()
        await servers.start_router()
        await servers.apply(*served_by(provider), model("n", "vllm"))
        yield Circuits(servers, provider)
    finally:
        await servers.stop_router()
        await servers.stop_registry()


async def test_a_circuit_opens_exactly_at_its_threshold(circuits: Circuits) -> None:
    # given a circuit per threshold from 1 to 19
    await circuits.add(*map(opening_at, THRESHOLDS))

    for threshold in THRESHOLDS:
        pool_id = f"m-{threshold}"
        assert await circuits.state(pool_id) == (CLOSED, 0)
        for failures in range(1, MOST_FAILURES + 1):
            # when one call more fails
            reached = await circuits.fail(pool_id, 1)

            # then the circuit is open from its threshold on, and the provider left alone
            expected = (OPEN, threshold) if failures >= threshold else (CLOSED, failures)
            assert await circuits.state(pool_id) == expected, (threshold, failures)
            assert reached == (1 if failures <= threshold else 0), (threshold, failures)


async def test_calls_that_fail_together_open_a_circuit_exactly_at_its_threshold(
    circuits: Circuits,
) -> None:
    # given
    await circuits.add(*map(opening_at, (1, 2, 5, 19)))

    for threshold in (1, 2, 5, 19):
        pool_id = f"m-{threshold}"
        for failures in (threshold - 1, threshold, threshold + 1, MOST_FAILURES):
            # when so many calls have been let through, and fail
            await circuits.servers.reset_member(pool_id)
            await circuits.fail_together(pool_id, failures)

            # then
            expected = (OPEN, threshold) if failures >= threshold else (CLOSED, failures)
            assert await circuits.state(pool_id) == expected, (threshold, failures)


async def test_a_success_always_ends_the_row_of_failures(circuits: Circuits) -> None:
    # given circuits that one failure more than each row would open
    thresholds = range(2, 12)
    await circuits.add(*map(opening_at, thresholds))

    for threshold in thresholds:
        # when a success comes between
        await circuits.fail(f"m-{threshold}", threshold - 1)
        await circuits.answer(f"m-{threshold}")
        after_success = await circuits.state(f"m-{threshold}")
        await circuits.fail(f"m-{threshold}", 1)

        # then the failure after it is the first one
        assert after_success == (CLOSED, 0), threshold
        assert await circuits.state(f"m-{threshold}") == (CLOSED, 1), threshold


async def test_the_circuits_of_two_models_do_not_concern_each_other(circuits: Circuits) -> None:
    # given two models of one provider, whose circuits open at the fifth failure
    await circuits.add(opening_at(5), opening_at(5, "n"))

    for of_m in range(10):
        for of_n in range(10):
            # when each fails so often, in turns
            await circuits.servers.reset_member("m-5")
            await circuits.servers.reset_member("n-5")
            for turn in range(max(of_m, of_n)):
                await circuits.fail("m-5", 1 if turn < of_m else 0)
                await circuits.fail("n-5", 1 if turn < of_n else 0)

            # then each circuit has counted its own failures alone
            found = await circuits.state("m-5"), await circuits.state("n-5")
            expected = tuple((OPEN, 5) if n >= 5 else (CLOSED, n) for n in (of_m, of_n))
            assert found == expected, (of_m, of_n)
