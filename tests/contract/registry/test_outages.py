"""A registry whose PostgreSQL server goes away under load, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import grpc
import pytest

from runyard.registry.v1.registry_service_pb2 import APPLY_MODE_CREATE, ApplyResourcesRequest
from services.chassis.calls.rpc_status import reason_of
from services.chassis.clock import SystemClock
from tests.contract.registry.calls import Client, settings_of, started
from tests.support.background import running
from tests.support.postgres import PrivateCluster, private_cluster
from tests.support.registry_resources import provider
from tests.support.snapshot_follower import Follower, snapshot_of, watch
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# The longest that a call may take to say that the database is away.
LIMIT_S = 20.0


class Writers:
    """Create providers, each repeated under its request id until that is acknowledged.

    Attributes:
        acknowledged: Name by version.
        refusals: What calls ended with in between.
    """

    def __init__(self, registry: Client, name: str) -> None:
        self._registry = registry
        self._name = name
        self._changed = asyncio.Event()
        self._stopping = False
        self.acknowledged: dict[int, str] = {}
        self.refusals: list[grpc.aio.AioRpcError] = []

    @asynccontextmanager
    async def writing(self, count: int) -> AsyncIterator[None]:
        """On the way out each ends with its last write acknowledged."""
        tasks = [asyncio.ensure_future(self._write_on(number)) for number in range(count)]
        try:
            yield
        finally:
            self._stopping = True
            await asyncio.gather(*tasks)

    async def acknowledge(self, more: int) -> None:
        wanted = len(self.acknowledged) + more
        while len(self.acknowledged) < wanted:
            await self._changed.wait()

    async def refused(self) -> None:
        while not self.refusals:
            await self._changed.wait()

    async def _write_on(self, writer: int) -> None:
        number = 0
        while not self._stopping:
            number += 1
            await self._create(f"{self._name}-{writer}-{number}")

    async def _create(self, name: str) -> None:
        request = ApplyResourcesRequest(
            resources=[provider(name)], mode=APPLY_MODE_CREATE, request_id=name
        )
        while name not in self.acknowledged.values():
            try:
                answer = await self._registry.ApplyResources(request, timeout=LIMIT_S)
                self.acknowledged[answer.version] = name
            except grpc.aio.AioRpcError as error:
                self.refusals.append(error)
                await SystemClock().sleep(reason_of(error).retry_after_s or 0.0)
            self._changed.set()
            self._changed = asyncio.Event()


async def rewatched(registry: Client, follower: Follower, writers: Writers) -> None:
    """Follow for ever, and watch again whenever a watch ends."""
    while True:
        try:
            async with watch(registry, follower) as call:
                while True:
                    await follower.follow(call, follower.version + 1)
        except grpc.aio.AioRpcError as error:
            writers.refusals.append(error)
            await SystemClock().sleep(reason_of(error).retry_after_s or 0.0)
        follower.broken_off()


@pytest.fixture(scope="module")
def cluster() -> Iterator[PrivateCluster]:
    with private_cluster() as running_cluster:
        yield running_cluster


@pytest.mark.parametrize("how", ["stopped", "crashed"])
async def test_a_database_that_goes_away_costs_time_and_nothing_else(
    cluster: PrivateCluster, how: str
) -> None:
    # given a registry with a watcher and four writers
    async with started(settings_of(cluster.url)) as registry:
        writers, follower = Writers(registry, how), Follower()
        begun = await snapshot_of(registry)
        async with running(rewatched(registry, follower, writers)):
            async with writers.writing(4):
                await writers.acknowledge(20)

                # when the database goes away, until somebody has noticed, and comes back
                away = cluster.stop if how == "stopped" else cluster.kill
                await asyncio.to_thread(away)
                await writers.refused()
                await asyncio.to_thread(cluster.start)

                # then the writers go on, and the registry needs no help
                await writers.acknowledge(20)
            newest = await snapshot_of(registry)
            await until(lambda: follower.version == newest.version)

    # and each write is one version, and the watcher has them all
    assert sorted(writers.acknowledged) == list(range(begun.version + 1, newest.version + 1))
    made = set(newest.resources) - set(begun.resources)
    assert made == {("provider", name) for name in writers.acknowledged.values()}
    assert follower.resources == newest.resources
    # and whoever was refused was told why, and when to come again
    facts = [reason_of(error) for error in writers.refusals]
    assert {(each.code, each.reason) for each in facts} == {
        (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    }
    assert all(each.retry_after_s is not None for each in facts)
