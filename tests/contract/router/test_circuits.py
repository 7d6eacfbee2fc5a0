"""Circuit breakers over gRPC, before a provider that speaks HTTP, and their state as it is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path

import grpc
import pytest

from runyard.provider.v1 import provider_pb2 as prov
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
from tests.support.fake_provider import FakeProvider, Pause, finish, refusal, stream, text

BROKEN = refusal(500, {"error": {"message": "broken"}})
# Opens at two failed calls, which are not repeated in place.
TWICE = reg.PoolBreaker(failure_threshold=2, cooldown=seconds(3600))
ONCE_EACH = reg.PoolRetry(in_place=0)
ANSWER = stream(*text("hi"), *finish())


async def test_the_circuit_of_a_model_opens_at_five_failed_calls(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given a model called directly whose provider fails
    provider.always(BROKEN)
    await running.apply(*served_by(provider))

    # when
    failed = [await running.infer("m") for _ in range(5)]
    requests = len(provider.requests)
    refused = await running.infer("m")

    # then the provider is left alone
    unavailable = grpc.StatusCode.UNAVAILABLE
    assert {each.code_and_reason for each in failed} == {(unavailable, "UPSTREAM_FAILED")}
    assert refused.code_and_reason == (unavailable, "ALL_MEMBERS_UNAVAILABLE")
    assert (requests, len(provider.requests)) == (10, 10)
    assert "m: circuit_open: the circuit breaker is open" in refused.failure.message
    assert refused.failure.retry_after_s is not None
    assert 25 < refused.failure.retry_after_s <= 30
    (skipped,) = refused.decision.skipped
    assert (skipped.member_id, skipped.reason) == ("m", pb.SKIP_REASON_CIRCUIT_OPEN)
    assert skipped.HasField("until")


async def test_answers_of_400_open_no_circuit(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given
    provider.always(refusal(400, {"error": {"message": "too long"}}))
    await running.apply(*served_by(provider))

    # when
    received = [await running.infer("m") for _ in range(8)]

    # then
    assert {each.failure.reason for each in received} == {"UPSTREAM_INVALID_REQUEST"}
    assert len(provider.requests) == 8


@pytest.mark.parametrize("moves", [True, False])
async def test_a_session_leaves_an_open_circuit_if_the_pool_says_so(
    running: RouterUnderTest, provider: FakeProvider, moves: bool
) -> None:
    # given a pool whose only home fails
    provider.always(BROKEN)
    await running.apply(
        *served_by(provider),
        reg.Resource(provider=reg.Provider(id="script", builtin=reg.BuiltinAdapter())),
        model("spare", "script"),
        pool(
            "p",
            "m",
            failover_only=["spare"],
            breaker=TWICE,
            retry=ONCE_EACH,
            switch=reg.PoolSwitch(on_circuit_open=moves),
        ),
    )
    for _ in range(2):
        await running.infer("p", thread_id="t1")

    # when
    received = await running.infer("p", thread_id="t1")

    # then
    assert len(provider.requests) == 2
    assert [s.reason for s in received.decision.skipped] == [pb.SKIP_REASON_CIRCUIT_OPEN]
    if moves:
        assert received.members == ["spare"]
        assert received.decision.sticky == pb.STICKY_OUTCOME_MOVED
    else:
        assert received.members == []
        assert received.failure.reason == "UPSTREAM_FAILED"
        assert received.failure.message == "model 'm' is not called: the circuit breaker is open"


@dataclass
class Circuit:
    """Pool ``p`` of model ``m``: opens at three failures, for 50 s, with one probe at a time."""

    servers: RouterUnderTest
    provider: FakeProvider
    clock: StillCalendar

    async def fails(self, calls: int) -> None:
        self.provider.answers(*[BROKEN] * calls)
        for _ in range(calls):
            assert (await self.servers.infer("p")).failure.reason == "UPSTREAM_FAILED"

    async def lets_through(self) -> bool:
        """Whether a call, which would be answered, reaches the provider."""
        before = len(self.provider.requests)
        received = await self.servers.infer("p")
        asked = len(self.provider.requests) - before
        assert (received.error is None) is (asked == 1)
        return asked == 1

    async def state(self) -> tuple[int, int, int]:
        """State, generation and failures in a row."""
        found = await self.servers.member("p")
        return found.breaker, found.generation, found.consecutive_failures


@pytest.fixture
async def circuit(tmp_path: Path, provider: FakeProvider) -> AsyncIterator[Circuit]:
    clock = StillCalendar()
    servers = RouterUnderTest(tmp_path, clock=clock)
    policy = reg.PoolBreaker(failure_threshold=3, cooldown=seconds(50), half_open_max=1)
    provider.always(ANSWER)
    try:
        await servers.start_registry()
        await servers.start_router()
        await servers.apply(
            *served_by(provider),
            pool("p", "m", breaker=policy, retry=ONCE_EACH),
            model("n", "vllm"),
        )
        yield Circuit(servers, provider, clock)
    finally:
        await servers.stop_router()
        await servers.stop_registry()


async def test_a_circuit_opens_at_its_threshold_and_not_before(circuit: Circuit) -> None:
    # when a call fails for the second, and for the third time
    await circuit.fails(2)
    below = await circuit.state()
    await circuit.fails(1)

    # then
    assert below == (pb.BREAKER_STATE_CLOSED, 0, 2)
    assert await circuit.state() == (pb.BREAKER_STATE_OPEN, 1, 3)
    assert not await circuit.lets_through()
    told = await circuit.servers.member("p")
    opened = circuit.clock.now()
    assert told.open_time.ToDatetime(UTC) == told.last_failure_time.ToDatetime(UTC) == opened
    assert told.probe_time.ToDatetime(UTC) == opened + timedelta(seconds=50)
    assert told.last_failure == prov.FAILURE_CLASS_SERVER_ERROR


async def test_a_success_ends_the_row_of_failures(circuit: Circuit) -> None:
    # when
    await circuit.fails(2)
    answered = await circuit.lets_through()
    after = await circuit.state()
    await circuit.fails(2)

    # then
    assert answered
    assert after == (pb.BREAKER_STATE_CLOSED, 0, 0)
    assert await circuit.state() == (pb.BREAKER_STATE_CLOSED, 0, 2)
    assert await circuit.lets_through()


async def test_a_circuit_lets_a_probe_through_when_its_cool_down_is_over(circuit: Circuit) -> None:
    # given an open circuit
    await circuit.fails(3)

    # when a microsecond is missing, and when none is
    circuit.clock.advance(49.999999)
    before = await circuit.lets_through(), await circuit.state()
    circuit.clock.advance(0.000001)
    after = await circuit.lets_through(), await circuit.state()

    # then the probe closes it, and it opens at three failures again
    assert before == (False, (pb.BREAKER_STATE_OPEN, 1, 3))
    assert after == (True, (pb.BREAKER_STATE_CLOSED, 3, 0))
    assert await circuit.lets_through()
    await circuit.fails(2)
    assert await circuit.state() == (pb.BREAKER_STATE_CLOSED, 3, 2)


async def test_beside_a_probe_no_other_call_is_let_through(circuit: Circuit) -> None:
    # given a probe that its provider keeps waiting
    await circuit.fails(3)
    circuit.clock.advance(50)
    circuit.provider.answers(stream(Pause(), *text("hi"), *finish()))
    probe = asyncio.create_task(circuit.servers.infer("p"))
    await circuit.provider.until(pauses=1)

    # when
    beside = await circuit.lets_through()
    meanwhile = await circuit.servers.member("p")
    circuit.provider.go_on()
    answered = await probe

    # then
    assert not beside
    assert (meanwhile.breaker, meanwhile.generation) == (pb.BREAKER_STATE_HALF_OPEN, 2)
    assert (meanwhile.probes_in_flight, meanwhile.probes_allowed) == (1, 1)
    assert not meanwhile.HasField("probe_time")
    assert answered.text == "hi"
    assert await circuit.state() == (pb.BREAKER_STATE_CLOSED, 3, 0)


async def test_as_many_probes_as_the_pool_allows_are_let_through(circuit: Circuit) -> None:
    # given a circuit that one failure opens, and three probes that their provider keeps waiting
    servers, provider = circuit.servers, circuit.provider
    policy = reg.PoolBreaker(failure_threshold=1, cooldown=seconds(50), half_open_max=3)
    await servers.apply(pool("wide", "m", breaker=policy, retry=ONCE_EACH))
    provider.answers(BROKEN)
    await servers.infer("wide")
    circuit.clock.advance(50)
    provider.answers(*[stream(Pause(), *text("hi"), *finish())] * 3)
    probes = [asyncio.create_task(servers.infer("wide")) for _ in range(3)]
    await provider.until(pauses=3)

    # when
    fourth = await servers.infer("wide")
    meanwhile = await servers.member("wide")
    provider.go_on()
    answered = await asyncio.gather(*probes)

    # then
    assert fourth.failure.reason == "ALL_MEMBERS_UNAVAILABLE"
    assert (meanwhile.breaker, meanwhile.generation) == (pb.BREAKER_STATE_HALF_OPEN, 2)
    assert (meanwhile.probes_in_flight, meanwhile.probes_allowed) == (3, 3)
    assert [each.text for each in answered] == ["hi"] * 3
    assert all(each.decision.attempts[0].probe for each in answered)
    assert (await servers.member("wide")).breaker == pb.BREAKER_STATE_CLOSED


async def test_a_failed_probe_opens_the_circuit_at_once(circuit: Circuit) -> None:
    # given an open circuit whose cool-down is over
    await circuit.fails(3)
    circuit.clock.advance(60)

    # when the probe fails
    await circuit.fails(1)

    # then the cool-down begins anew
    assert await circuit.state() == (pb.BREAKER_STATE_OPEN, 3, 4)
    circuit.clock.advance(49)
    assert not await circuit.lets_through()
    circuit.clock.advance(1)
    assert await circuit.lets_through()


async def test_a_model_has_a_circuit_of_its_own_in_each_target(circuit: Circuit) -> None:
    # when the circuit of a model opens in its pool
    await circuit.fails(3)

    # then the model called directly is called, and so is another model of its provider
    assert (await circuit.servers.infer("m")).error is None
    assert (await circuit.servers.infer("n")).error is None
    refused = (await circuit.servers.infer("p")).failure.message
    assert "m: circuit_open: the circuit breaker is open" in refused


async def test_looking_takes_no_probe(circuit: Circuit) -> None:
    # given an open circuit whose cool-down is over
    await circuit.fails(3)
    circuit.clock.advance(50)

    # when its state is read
    looked = {await circuit.state() for _ in range(3)}

    # then
    assert looked == {(pb.BREAKER_STATE_OPEN, 1, 3)}
    assert await circuit.lets_through()
