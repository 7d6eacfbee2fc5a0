"""Two routers on one database: what one learns, or is told, the other one obeys.

Each test sees by the providers' requests what the other router does. That it has learned is awaited
through its state; nothing but notifications tells it, since it looks by itself once an hour.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from services.router.engine import state_sharing
from tests.contract.router.router_under_test import RouterUnderTest, model, pool
from tests.support.engines import on_postgresql
from tests.support.fake_provider import FakeProvider, fake_provider, finish, refusal, stream, text
from tests.support.postgres import fresh_schema, private_cluster
from tests.support.waiting import within_limit

ANSWER = stream(*text("hi"), *finish())
LIMITED = refusal(429, retry_after="600")
DENIED = refusal(401)
BROKEN = refusal(500)


@dataclass(frozen=True)
class Both:
    """Two routers with pool ``p``: ``near`` is the home of every session, ``far`` the other member.

    A failed call to ``near`` moves its session.
    """

    one: RouterUnderTest
    other: RouterUnderTest
    near: FakeProvider
    far: FakeProvider

    @property
    def called(self) -> tuple[int, int]:
        return len(self.near.requests), len(self.far.requests)

    async def set_up(self) -> None:
        self.far.always(ANSWER)
        self.near.always(ANSWER)
        await self.one.apply(
            provided("near", self.near),
            provided("far", self.far),
            model("near", "near"),
            model("far", "far"),
            pool(
                "p",
                "near",
                failover_only=["far"],
                retry=reg.PoolRetry(in_place=0),
                switch=reg.PoolSwitch(on_retry_exhausted=True),
            ),
        )
        self.other.version = self.one.version


def provided(provider_id: str, fake: FakeProvider) -> reg.Resource:
    openai = reg.OpenAiAdapter()
    return reg.Resource(
        provider=reg.Provider(id=provider_id, openai=openai, base_url=fake.base_url)
    )


@pytest.fixture(autouse=True)
def no_look_without_a_notification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_sharing, "LOOK_S", 3600.0)


@asynccontextmanager
async def two_routers(folder: Path, urls: dict[str, str]) -> AsyncIterator[Both]:
    one = RouterUnderTest(folder, urls)
    other = RouterUnderTest(folder, urls, registry_port=one.registry_port)
    async with fake_provider() as near, fake_provider() as far:
        try:
            await one.start_registry()
            await one.start_router()
            await other.start_router()
            both = Both(one, other, near, far)
            await both.set_up()
            yield both
        finally:
            await other.stop_router()
            await one.stop_router()
            await one.stop_registry()


@pytest.fixture
async def both(tmp_path: Path, urls: dict[str, str]) -> AsyncIterator[Both]:
    async with two_routers(tmp_path, urls) as running:
        yield running


async def state(router: RouterUnderTest) -> rpc.GetRoutingStateResponse:
    stub = RouterServiceStub(router.channel)
    answer: rpc.GetRoutingStateResponse = await stub.GetRoutingState(
        rpc.GetRoutingStateRequest(target_id="p")
    )
    return answer


async def near(router: RouterUnderTest) -> pb.MemberState:
    """The member as the router sees it; empty for one with nothing to tell."""
    found = [each for each in (await state(router)).members if each.member_id == "near"]
    return found[0] if found else pb.MemberState()


async def pins(router: RouterUnderTest) -> int:
    return len((await state(router)).pins)


async def limited(router: RouterUnderTest) -> bool:
    return (await near(router)).HasField("quota_end_time")


async def quarantined(router: RouterUnderTest) -> bool:
    return bool((await near(router)).quarantine)


async def cordoned(router: RouterUnderTest) -> bool:
    return bool((await near(router)).cordoned)


Seen = Callable[[RouterUnderTest], Awaitable[object]]


async def learned(router: RouterUnderTest, seen: Seen, wanted: object, how: str = "idle") -> None:
    """The router has learned something: as it comes, or because it is started anew."""
    if how == "restarted":
        await router.restart_router()
    async with within_limit():
        while await seen(router) != wanted:
            continue


async def order(router: RouterUnderTest, method: str, **fields: str) -> Any:
    request = getattr(rpc, f"{method}Request")(**fields)
    return await getattr(RouterServiceStub(router.channel), method)(request)


HOW = pytest.mark.parametrize("how", ["idle", "restarted"])


@HOW
@on_postgresql
async def test_a_pin_is_obeyed(both: Both, how: str) -> None:
    # given a session that has moved on one router
    both.near.answers(BROKEN)
    await both.one.infer("p", thread_id="t")
    await learned(both.one, pins, 1)

    # when
    await learned(both.other, pins, 1, how)
    await both.other.infer("p", thread_id="t")

    # then its home is not called
    assert both.called == (1, 2)


@HOW
@on_postgresql
async def test_a_quota_deadline_is_obeyed(both: Both, how: str) -> None:
    # given a member that is limited for one router
    both.near.answers(LIMITED)
    await both.one.infer("p", thread_id="t1")

    # when
    await learned(both.other, limited, True, how)
    await both.other.infer("p", thread_id="t2")

    # then
    assert both.called == (1, 2)


@HOW
@on_postgresql
async def test_a_quarantine_and_its_end_are_obeyed(both: Both, how: str) -> None:
    # given a member that denies the key of one router
    both.near.answers(DENIED)
    await both.one.infer("p", thread_id="t1")

    # when
    await learned(both.other, quarantined, True, how)
    await both.other.infer("p", thread_id="t2")
    called = both.called

    # and a direct call to the first router is answered
    await both.one.infer("near")
    await learned(both.other, quarantined, False, how)
    await both.other.infer("p", thread_id="t3")

    # then
    assert called == (1, 2)
    assert both.called == (3, 2)


@HOW
@on_postgresql
async def test_a_reset_is_obeyed(both: Both, how: str) -> None:
    # given a member that is limited for both, and whose circuit the other one has opened
    both.near.answers(*[BROKEN] * 5, LIMITED)
    for number in range(5):
        await both.other.infer("p", thread_id=f"t{number}")
    await both.one.infer("p", thread_id="t5")
    await learned(both.other, limited, True)
    before = (await near(both.other)).breaker

    # when it is reset on one
    await order(both.one, "ResetMember", target_id="p", member_id="near")
    await learned(both.other, limited, False, how)
    await both.other.infer("p", thread_id="new")

    # then the other one calls it
    assert before == pb.BREAKER_STATE_OPEN
    assert (await near(both.other)).breaker != pb.BREAKER_STATE_OPEN
    assert len(both.near.requests) == 7


@HOW
@on_postgresql
async def test_the_end_of_a_pin_is_obeyed(both: Both, how: str) -> None:
    # given a session that has moved on one router
    both.near.answers(BROKEN)
    await both.one.infer("p", thread_id="t")
    await learned(both.other, pins, 1)

    # when the other one is told to unpin it
    await order(both.other, "UnpinSession", pool_id="p", session="thread:t")
    await learned(both.one, pins, 0, how)
    await both.one.infer("p", thread_id="t")

    # then it is at home again
    assert both.called == (2, 1)


@HOW
@on_postgresql
async def test_a_cordon_and_its_end_are_obeyed(both: Both, how: str) -> None:
    # given a session at home
    await both.other.infer("p", thread_id="t")

    # when its home is cordoned on one router
    await order(both.one, "CordonMember", target_id="p", member_id="near")
    await learned(both.other, cordoned, True, how)
    away = await both.other.infer("p", thread_id="t")
    new = await both.other.infer("p", thread_id="new")

    # and the cordon ends
    await order(both.one, "UncordonMember", target_id="p", member_id="near")
    await learned(both.other, cordoned, False, how)
    await both.other.infer("p", thread_id="newer")
    await both.other.infer("p", thread_id="new")

    # then only a new session goes there, because the others are pinned
    assert away.decision.sticky == new.decision.sticky == pb.STICKY_OUTCOME_MOVED
    assert both.called == (2, 3)


@on_postgresql
async def test_what_a_drained_router_learned_last_survives_it(both: Both) -> None:
    # given a session that moves on one router, which is stopped at once
    both.near.answers(BROKEN)
    await both.one.infer("p", thread_id="t")
    await both.one.stop_router()

    # when
    await learned(both.other, pins, 1)
    await both.other.infer("p", thread_id="t")

    # then
    assert both.called == (1, 2)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_nothing_is_lost_while_the_database_is_away(tmp_path: Path) -> None:
    with private_cluster() as cluster, fresh_schema(cluster.url) as url:
        async with two_routers(tmp_path, {"router": url}) as both:
            # given a database that stops
            await asyncio.to_thread(cluster.stop)

            # when a session moves on one router meanwhile, its new member is limited there, and an
            # operator cordons the old one on the other
            both.near.answers(BROKEN)
            moved = await both.one.infer("p", thread_id="t1")
            await order(both.other, "CordonMember", target_id="p", member_id="near")
            both.near.answers(LIMITED)
            await both.one.infer("p", thread_id="t2")
            await asyncio.to_thread(cluster.start)

            # then both serve on, and each learns the rest when the database is back
            await learned(both.other, pins, 2)
            await learned(both.other, limited, True)
            await learned(both.one, cordoned, True)
            await both.other.infer("p", thread_id="t1")
            await both.one.infer("p", thread_id="t3")
            assert moved.members == ["near", "far"]
            assert both.called == (2, 4)
