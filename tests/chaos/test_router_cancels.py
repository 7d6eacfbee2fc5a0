"""Callers of the router leave at random instants: nothing of their calls stays behind.

Each call is brought to one of seven points at which the router waits, by a provider that leaves it
there, and is cancelled a random moment later; some are cancelled anywhere. ``make chaos`` also
measures how soon the provider sees it.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from services.chassis.clock import SystemClock
from services.router.engine.attempt import AttemptInProgress, WaitLimit
from services.router.engine.routed_call import RoutedCall
from tests.chaos.stalling_provider import FAIL, Seen, StallingProvider, stalling_provider
from tests.contract.router.router_under_test import RouterUnderTest, model, pool, request, seconds
from tests.support.profiles import amount, scaled
from tests.support.waiting import until, within_limit

pytestmark = [scaled, pytest.mark.slow, pytest.mark.timeout(1_800)]

CANCELS = amount(gate=240, chaos=10_000)
HITS_EACH = amount(gate=10, chaos=500)
CALLERS = 8
SESSIONS = 16
# Beyond the arrival at its point, a call is cancelled within this time.
SPREAD_S = 0.004
ANYWHERE_S = 0.015
Infer: TypeAlias = "grpc.aio.UnaryStreamCall[rpc.InferRequest, rpc.InferResponse]"

# Of a circuit that is open; there are enough of them that one is half-open again when it is needed.
COOLDOWN_S = 0.1
CIRCUITS = 40

# The point at which a call waits, by the pool that brings it there.
POINTS = {
    "open": "a probe of a half-open circuit, without headers",
    "held": "headers, and no content",
    "frames": "some content of a probe of a half-open circuit",
    "blocked": "a caller that does not read",
    "wait": "the wait in place for a rate limit",
    "failover": "the second member, after a refusal of the first",
    "end": "the end of the connection, after a whole answer",
}
ANYWHERE = "anywhere"
# Points whose calls are probes, and what their provider does.
PROBED = {"open": "silent", "frames": "streaming"}


def resources(provider: StallingProvider) -> Iterator[reg.Resource]:
    adapter = reg.OpenAiAdapter()
    breaker = reg.PoolBreaker(failure_threshold=1, cooldown=seconds(COOLDOWN_S))
    yield reg.Resource(provider=reg.Provider(id="fake", openai=adapter, base_url=provider.base_url))
    for name in ("refusing", "waiting", "silent", "begun", "streaming", "flooding", "ending"):
        yield model(name, "fake")
    yield model("whole", "fake")
    for target in probed():
        point = target.partition("-")[0]
        yield model(f"{target}-model", "fake", PROBED[point])
        yield pool(target, f"{target}-model", breaker=breaker)
    yield pool("held", "begun")
    yield pool("blocked", "flooding")
    patient = reg.PoolSwitch(on_quota=True, quota_retry_after_threshold=seconds(60))
    yield pool("wait", "waiting", failover_only=["whole"], switch=patient)
    yield pool("failover", "refusing", failover_only=["silent"], switch=moving())
    yield pool("end", "ending")
    yield pool(ANYWHERE, "refusing", failover_only=["whole"], switch=moving())


def moving() -> reg.PoolSwitch:
    return reg.PoolSwitch(on_quota=True)


def probed() -> Iterator[str]:
    """The pools of one member whose circuit is open at first, and half-open after its cooldown."""
    return (f"{point}-{number}" for point in PROBED for number in range(CIRCUITS))


class NotedClock(SystemClock):
    """Notes the pauses for a rate limit that begin, and those that are cancelled."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[None] = asyncio.Queue()
        self.cancelled = 0

    async def sleep(self, delay_s: float) -> None:
        is_wait = 4.0 < delay_s <= 5.0
        if is_wait:
            self.begun.put_nowait(None)
        try:
            await super().sleep(delay_s)
        except asyncio.CancelledError:
            self.cancelled += is_wait
            raise


@dataclass
class Cancels:
    """Calls that are cancelled, and what was seen of them.

    Attributes:
        hits: Calls that were cancelled at their point.
        took_s: From a cancel to where the provider found the connection closed.
    """

    running: RouterUnderTest
    provider: StallingProvider
    clock: NotedClock
    chance: random.Random
    hits: Counter[str] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)

    async def caller(self, numbers: Iterator[int]) -> None:
        """Make the calls of these numbers, which all callers share."""
        for number in numbers:
            point = self.chance.choice([*POINTS, ANYWHERE])
            await self._make(point, number)

    async def _make(self, point: str, number: int) -> None:
        call_id = f"call-{number}"
        seen = self.provider.expect(call_id)
        target = f"{point}-{number % CIRCUITS}" if point in PROBED else point
        session, version = f"session-{number % SESSIONS}", self.running.version
        asked = request(target, call_id, session, min_registry_version=version)
        call = RouterServiceStub(self.running.channel).Infer(asked)
        ended = asyncio.ensure_future(_read(call, point))
        arrived = asyncio.ensure_future(self._arrived(point, seen))
        await asyncio.wait({ended, arrived}, return_when=asyncio.FIRST_COMPLETED)
        await self.clock.sleep(self.chance.uniform(0.0, SPREAD_S))
        hit = not ended.done() and (point != "failover" or seen.refused == ["refusing"])
        self.hits[point] += hit
        left_at_s = self.clock.monotonic_s()
        call.cancel()
        arrived.cancel()
        await asyncio.gather(ended, arrived, return_exceptions=True)
        if hit and seen.reached.is_set():
            async with within_limit():
                await seen.closed.wait()
            self.took_s.append(seen.closed_at_s - left_at_s)

    async def _arrived(self, point: str, seen: Seen) -> None:
        if point == "wait":
            await self.clock.begun.get()
        elif point == ANYWHERE:
            await self.clock.sleep(self.chance.uniform(0.0, ANYWHERE_S))
        else:
            await seen.reached.wait()


async def _read(call: Infer, point: str) -> None:
    """Read the answer to its end; of a caller that does not read, wait for the status."""
    if point == "blocked":
        await call.code()
    async for _ in call:
        pass


@pytest.fixture
async def provider() -> AsyncIterator[StallingProvider]:
    async with stalling_provider() as running:
        yield running


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RouterUnderTest]:
    servers = RouterUnderTest(tmp_path, clock=NotedClock())
    try:
        await servers.start_registry()
        await servers.start_router()
        yield servers
    finally:
        await servers.stop_router()
        await servers.stop_registry()


async def test_callers_that_leave_leave_nothing_behind(
    running: RouterUnderTest, provider: StallingProvider
) -> None:
    # given circuits that have opened, and are half-open after their cooldown
    clock = running.clock
    assert isinstance(clock, NotedClock)
    await running.apply(*resources(provider))
    await asyncio.gather(*(running.infer(target, FAIL) for target in probed()))
    assert {state.breaker for state in await members(running)} == {pb.BREAKER_STATE_OPEN}
    await running.infer("whole")
    before = tasks()

    # when
    cancels = Cancels(running, provider, clock, random.Random(7))
    numbers = iter(range(CANCELS))
    await asyncio.gather(*(cancels.caller(numbers) for _ in range(CALLERS)))

    # then every point was hit
    cancels.hits["wait"] = clock.cancelled
    assert {point for point in POINTS if cancels.hits[point] < HITS_EACH} == set(), cancels.hits
    # and nothing is left of the calls, neither here nor at the provider
    async with within_limit():
        await until(lambda: provider.open_now == 0 and not tasks() - before)
        await until(lambda: not left_over(), each_turn=gc.collect)
    # nor a probe, nor a pin but those of the sessions that moved
    assert sum(state.probes_in_flight for state in await members(running)) == 0
    pins = await pinned(running)
    assert {pin.pool_id for pin in pins} <= {ANYWHERE}
    assert len(pins) <= SESSIONS
    assert (await running.infer("whole")).text
    report(cancels)


async def members(running: RouterUnderTest) -> list[pb.MemberState]:
    asked = rpc.GetRoutingStateRequest()
    answer = await RouterServiceStub(running.channel).GetRoutingState(asked)
    return list(answer.members)


async def pinned(running: RouterUnderTest) -> list[pb.Pin]:
    asked = rpc.GetRoutingStateRequest(page_size=1_000)
    answer = await RouterServiceStub(running.channel).GetRoutingState(asked)
    return list(answer.pins)


def tasks() -> Counter[str]:
    """The tasks of this process, but for those of the provider's connections."""
    names = (task.get_coro().__qualname__ for task in asyncio.all_tasks())  # type: ignore[union-attr]  # typeshed lacks it
    return Counter(name for name in names if name != "RequestHandler.start")


def left_over() -> list[object]:
    """What a call consists of in the engine, as long as something refers to it."""
    objects = gc.get_objects()
    # The watchdog remembers the one that it checked last.
    limits = [each for each in objects if isinstance(each, WaitLimit)][1:]
    return [
        *limits,
        *(each for each in objects if isinstance(each, RoutedCall | AttemptInProgress)),
    ]


def report(cancels: Cancels) -> None:
    """Print how soon the provider saw the connections closed."""
    took_ms = sorted(1000 * taken_s for taken_s in cancels.took_s)
    shares = {f"p{share:g}": took_ms[int(len(took_ms) * share / 100)] for share in (50, 99, 99.9)}
    shown = ", ".join(f"{name} {value:.1f} ms" for name, value in shares.items())
    late = sum(taken_ms > 50 for taken_ms in took_ms)
    print(
        f"{sum(cancels.hits.values())} cancels at {dict(cancels.hits)}: closed after {shown}, "
        f"at most {took_ms[-1]:.1f} ms; {late} of {len(took_ms)} after more than 50 ms"
    )
