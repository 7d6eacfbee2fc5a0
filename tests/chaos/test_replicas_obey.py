"""Two routers on one PostgreSQL, under load: what one learns, or is told, the other obeys.

Whether it obeys is seen by the requests that the providers get, whatever its state says. Only
before a quarantine is obeyed its state is looked at: an answered call on the other router would end
it. ``-s`` shows how long it took; that is meant to be less than a second, and is not asserted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.contract.router.router_under_test import (
    Received,
    builtin,
    call_infer,
    model,
    pool,
    request,
    served_by,
)
from tests.support.clients import apply
from tests.support.fake_provider import (
    FakeProvider,
    Script,
    fake_provider,
    finish,
    refusal,
    stream,
    text,
)
from tests.support.postgres import fresh_schema, private_cluster
from tests.support.stack import Stack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

ROUNDS = 12
CALLERS = 4
# Calls that have to obey once one has.
AFTERWARDS = 5

ANSWER = stream(*text("hi"), *finish())
BROKEN, LIMITED, DENIED = refusal(500), refusal(429, retry_after="600"), refusal(401)


@dataclass
class Replicas:
    """Routers ``one`` and ``other`` with pool ``p``: sessions are at home on ``near``, and go to
    ``far`` for any reason.

    Attributes:
        took_s: By what had to be obeyed, how long the other router took.
    """

    one: grpc.aio.Channel
    other: grpc.aio.Channel
    near: FakeProvider
    far: FakeProvider
    took_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def call(self, channel: grpc.aio.Channel, session: str = "") -> Received:
        return await call_infer(channel, request("p", thread_id=session or str(uuid.uuid4())))

    async def refused_on_one(self, script: Script) -> str:
        """Let one call on the one router be refused by ``near``, once; its session."""
        session = str(uuid.uuid4())
        self.near.answers(script)
        received = await self.call(self.one, session)
        assert received.members == ["near", "far"]
        return session

    async def order(self, method: str) -> None:
        """Order something for ``near`` on the one router."""
        kind = {
            "ResetMember": rpc.ResetMemberRequest,
            "CordonMember": rpc.CordonMemberRequest,
            "UncordonMember": rpc.UncordonMemberRequest,
        }[method]
        await getattr(RouterServiceStub(self.one), method)(kind(target_id="p", member_id="near"))

    async def obeyed(self, what: str, wanted: FakeProvider, session: str = "") -> None:
        """Call the other router until its calls reach ``wanted``, and then no other provider."""
        began_s = time.monotonic()
        seen = self._quarantined if what == "quarantine" else self._reaches
        while not await seen(wanted, session):
            assert time.monotonic() - began_s < 30, what
        self.took_s[what].append(time.monotonic() - began_s)
        for _ in range(AFTERWARDS):
            assert await self._reaches(wanted, session), what

    async def _quarantined(self, *_: object) -> bool:
        asked = rpc.GetRoutingStateRequest(target_id="p")
        state = await RouterServiceStub(self.other).GetRoutingState(asked)
        return any(each.quarantine for each in state.members)

    async def _reaches(self, wanted: FakeProvider, session: str) -> bool:
        """Whether a call on the other router sends one request, to ``wanted``."""
        before = len(self.near.requests), len(self.far.requests)
        await self.call(self.other, session)
        near, far = len(self.near.requests) - before[0], len(self.far.requests) - before[1]
        assert near + far == 1
        return (near if wanted is self.near else far) == 1


@contextlib.asynccontextmanager
async def replicas(data: Path, urls: dict[str, str]) -> AsyncIterator[Replicas]:
    async with AsyncExitStack() as exits:
        near, far = [await exits.enter_async_context(fake_provider()) for _ in range(2)]
        near.always(ANSWER)
        far.always(ANSWER)
        halves = [Stack(data / name) for name in ("a", "b")]
        halves[1].ports["registry"] = halves[0].ports["registry"]
        for half in halves:
            half.data.mkdir()
            half.environment = {
                service: {f"RUNYARD_{service.upper()}_DATABASE_URL": url}
                for service, url in urls.items()
            }
            exits.push_async_callback(half.stop)
        await halves[0].start("registry")
        async with halves[0].channel("registry") as channel:
            await apply(channel, *resources(near, far))
        channels = []
        for half in halves:
            await half.start("router")
            channels.append(await exits.enter_async_context(half.channel("router")))
        yield Replicas(channels[0], channels[1], near, far)


def resources(near: FakeProvider, far: FakeProvider) -> list[reg.Resource]:
    served = [*served_by(near, "near"), *served_by(far, "far")]
    for number, each in enumerate(served):
        # A provider of its own for each model.
        name = "near" if number < 2 else "far"
        if each.HasField("provider"):
            each.provider.id = name
        else:
            each.model.provider_id = name
    switch = reg.PoolSwitch(on_retry_exhausted=True, on_permanent=True)
    once = reg.PoolRetry(in_place=0)
    order = reg.PoolRouting(home=reg.HOME_STRATEGY_FIRST_HEALTHY)
    return [
        *served,
        pool("p", "near", "far", routing=order, switch=switch, retry=once),
        builtin("script"),
        model("busy", "script"),
    ]


@contextlib.asynccontextmanager
async def load(found: Replicas) -> AsyncIterator[None]:
    """Callers of both routers, each of which calls again as soon as it is answered."""

    async def call(channel: grpc.aio.Channel) -> None:
        while True:
            received = await call_infer(channel, request("busy", "one two three four"))
            assert received.error is None

    calls = [
        asyncio.create_task(call(channel))
        for channel in (found.one, found.other)
        for _ in range(CALLERS)
    ]
    try:
        yield
        assert not any(each.done() for each in calls)
    finally:
        for each in calls:
            each.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_what_one_router_learns_the_other_obeys(tmp_path: Path) -> None:
    # given two routers that are busy
    with (
        private_cluster("max_connections=100") as cluster,
        fresh_schema(cluster.url) as registry,
        fresh_schema(cluster.url) as router,
    ):
        urls = {"registry": registry, "router": router}
        async with replicas(tmp_path, urls) as found, load(found):
            for _ in range(ROUNDS):
                await one_round(found)

    # then the other one has obeyed each time
    for what, took_s in found.took_s.items():
        ranked = sorted(took_s)
        middle, late = ranked[len(ranked) // 2], ranked[-1]
        print(f"{what}: p50 {middle * 1000:.0f} ms, longest {late * 1000:.0f} ms of {len(ranked)}")
    every = sorted(each for took_s in found.took_s.values() for each in took_s)
    print(f"all {len(every)}: p99 {every[len(every) * 99 // 100] * 1000:.0f} ms")
    assert len(every) == 7 * ROUNDS


async def one_round(found: Replicas) -> None:
    """Everything that the routers share, begun and ended on the one."""
    # when a session moves
    session = await found.refused_on_one(BROKEN)
    await found.obeyed("pin", found.far, session)
    # and a limit, a credential, or an operator sets a member aside, and it comes back
    begins: dict[str, Callable[[], Awaitable[object]]] = {
        "limit": lambda: found.refused_on_one(LIMITED),
        "quarantine": lambda: found.refused_on_one(DENIED),
        "cordon": lambda: found.order("CordonMember"),
    }
    for what, begin in begins.items():
        await begin()
        await found.obeyed(what, found.far)
        end = "UncordonMember" if what == "cordon" else "ResetMember"
        await found.order(end)
        await found.obeyed(f"end of {what}", found.near)
