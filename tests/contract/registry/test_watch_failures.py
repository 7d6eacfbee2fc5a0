"""Watchers of a registry whose store fails now and then: none of them ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import grpc
import pytest

from services.chassis.calls.rpc_status import reason_of
from services.chassis.server.definition import Assembly
from services.chassis.server.service import Chassis
from services.chassis.store import port
from services.chassis.store.errors import read_too_long
from services.chassis.store.statement import Statement
from services.registry.main import SERVICE, assemble
from services.registry.settings import RegistrySettings
from tests.contract.registry.calls import Client
from tests.support.background import running
from tests.support.clock import ManualClock
from tests.support.profiles import amount, scaled
from tests.support.registry_resources import agent, model, provider
from tests.support.serving import serving
from tests.support.snapshot_follower import Follower, snapshot_of, watch
from tests.support.waiting import within_limit

T = TypeVar("T")

WATCHERS = 12
# How many of the reads fail, one after the other.
PLACES = amount(gate=5, chaos=100)


class FailingStore:
    """The store of the registry, some of whose reads fail.

    Attributes:
        fails: Whether the n-th read fails, from 1.
    """

    def __init__(self, store: port.Store) -> None:
        self._store = store
        self.info = store.info
        self.sole_owner = store.sole_owner
        self.reads = 0
        self.fails: Callable[[int], bool] = lambda _: False

    async def write(self, fn: Callable[[port.Tx], T]) -> T:
        return await self._store.write(fn)

    async def read(self, fn: Callable[[port.Tx], T]) -> T:
        self.reads += 1
        failing = self.fails(self.reads)
        value = await self._store.read(fn)
        if failing:
            raise read_too_long()
        return value

    async def fetch(self, statement: Statement, /, **params: object) -> list[port.Row]:
        return await self._store.fetch(statement, **params)


class FailingRegistry:
    """A registry, its store, and the clock by which streams pause."""

    def __init__(self, client: Client, store: FailingStore, clock: ManualClock) -> None:
        self.client = client
        self.store = store
        self.clock = clock

    async def everybody_at(self, version: int) -> list[Follower]:
        """Watchers that began with nothing, and have ``version``."""
        followers = [Follower() for _ in range(WATCHERS)]

        async def follow(follower: Follower) -> None:
            async with watch(self.client, follower) as call:
                await follower.follow(call, version)

        async with within_limit(), running(self.time_passes(0.0005)):
            await asyncio.gather(*map(follow, followers))
        return followers

    async def time_passes(self, each_turn_s: float) -> None:
        while True:
            self.clock.advance(each_turn_s)
            await asyncio.sleep(0)


@asynccontextmanager
async def failing_registry(settings: RegistrySettings) -> AsyncIterator[FailingRegistry]:
    stores: list[FailingStore] = []

    async def assembled(
        settings: RegistrySettings, chassis: Chassis, database: port.Store
    ) -> Assembly:
        stores.append(FailingStore(database))
        return await assemble(settings, chassis, stores[0])

    clock = ManualClock()
    build = replace(SERVICE, assemble=assembled).build
    async with serving(build, settings, clock=clock) as served:
        yield FailingRegistry(Client(served.channel), stores[0], clock)


@scaled
async def test_no_watcher_ends_whichever_read_of_theirs_fails(settings: RegistrySettings) -> None:
    # given what takes a watcher several parts, and how many reads it is for all watchers
    async with failing_registry(settings) as registry:
        texts = (agent(f"a{n:02}", system_prompt="x" * 9_000) for n in range(30))
        await registry.client.apply(provider(), model(), *texts)
        truth = await snapshot_of(registry.client)
        registry.store.reads = 0
        await registry.everybody_at(truth.version)
        count = registry.store.reads

        # when some of them fail in turn, then every second, then the first of each watcher
        kinds: list[Callable[[int], bool]] = [
            *((lambda n, at=at: n == at) for at in range(1, count, max(1, count // PLACES))),
            lambda n: n % 2 == 0,
            lambda n: n <= WATCHERS,
        ]
        for fails in kinds:
            registry.store.reads, registry.store.fails = 0, fails
            followers = await registry.everybody_at(truth.version)

            # then everybody has everything, on the stream that they opened
            assert all(each.resources == truth.resources for each in followers)
            assert all(each.spans == [(0, truth.version)] for each in followers)


async def test_a_store_that_stays_away_ends_every_watch_with_the_reason(
    settings: RegistrySettings,
) -> None:
    async with failing_registry(settings) as registry:
        # given a store all of whose reads fail
        registry.store.fails = lambda _: True

        # when more time passes than a stream waits
        watches = [registry.client.watching() for _ in range(WATCHERS)]

        async def refusal(number: int) -> grpc.aio.AioRpcError:
            async with watches[number] as one:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await one.frame()
            return caught.value

        async with within_limit(), running(registry.time_passes(0.01)):
            ends = await asyncio.gather(*map(refusal, range(WATCHERS)))

    # then each is told what happened, and when to come again
    facts = [reason_of(each) for each in ends]
    assert {(each.code, each.reason) for each in facts} == {
        (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    }
    assert {each.metadata["cause"] for each in facts} == {"READ_TOO_LONG"}
    assert all(each.retry_after_s is not None for each in facts)
