"""What the registry leaves in the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
import pytest_asyncio

from runyard.registry.v1 import registry_service_pb2 as pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.registry.main import build
from services.registry.settings import RegistrySettings
from tests.contract.registry.test_watch import apply, watching
from tests.support.clock import ManualClock
from tests.support.metrics import Measured, measuring
from tests.support.registry_resources import model, provider, quickstart
from tests.support.serving import serving
from tests.support.turns import until

MUTATIONS = "runyard.registry.mutations"
VIOLATIONS = "runyard.registry.violations"
VERSION = "runyard.registry.version"
WATCHERS = "runyard.registry.watchers"
LAG = "runyard.registry.watch.lag"
RETIRED = "runyard.registry.retired_versions"


@pytest.fixture
def measured() -> Iterator[Measured]:
    with measuring("registry") as found:
        yield found


@pytest_asyncio.fixture
async def registry(
    measured: Measured, settings: RegistrySettings, clock: ManualClock
) -> AsyncIterator[RegistryServiceStub]:
    """Measured from its start."""
    async with serving(build, settings, clock=clock) as served:
        yield RegistryServiceStub(served.channel)


async def refuse(registry: RegistryServiceStub, request: pb.ApplyResourcesRequest) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await registry.ApplyResources(request)


async def test_mutations_count_by_how_they_ended_and_violations_by_their_code(
    registry: RegistryServiceStub, measured: Measured
) -> None:
    # when one is done, repeated, refused for its version and for two dangling references
    await apply(registry, *quickstart(), request_id="once")
    await apply(registry, *quickstart(), request_id="once")
    await refuse(registry, pb.ApplyResourcesRequest(resources=[provider("p")], expected_version=9))
    dangling = [model("m1", "nobody"), model("m2", "nobody")]
    await refuse(registry, pb.ApplyResourcesRequest(resources=dangling))

    # then
    assert measured.values(MUTATIONS) == {
        (("runyard.outcome", "done"),): 1,
        (("runyard.outcome", "replayed"),): 1,
        (("runyard.outcome", "VERSION_MISMATCH"),): 1,
        (("runyard.outcome", "INVALID_REQUEST"),): 1,
    }
    assert measured.values(VIOLATIONS) == {
        (("runyard.registry.code", "model_missing_provider"),): 2
    }


async def test_the_current_version_is_shown_from_the_start(
    registry: RegistryServiceStub, measured: Measured
) -> None:
    async with asyncio.timeout(10):
        await until(lambda: measured.values(VERSION) == {(): 1})
        await apply(registry, *quickstart())
        await until(lambda: measured.values(VERSION) == {(): 2})


async def test_watchers_are_counted_and_their_lag_is_that_of_what_they_waited_for(
    registry: RegistryServiceStub, measured: Measured, clock: ManualClock
) -> None:
    # given a version that is an hour old
    await apply(registry, *quickstart())
    clock.advance(3_600)
    async with watching(registry) as watch:
        # when a watcher comes, gets it, and then what is published while it waits
        await watch.change()
        before = measured.total(LAG)
        await apply(registry, provider("second"))
        await watch.change()
        await apply(registry, provider("third"))
        await watch.change()
        open_watches = measured.total(WATCHERS)

    # then only what it waited for has a lag
    async with asyncio.timeout(10):
        await until(lambda: measured.total(WATCHERS) == 0)
    (lag,) = measured.points(LAG).values()
    assert before == 0
    assert open_watches == 1
    assert lag.count >= 1
    assert lag.max < 3_600


async def test_versions_that_retention_lets_go_are_counted(
    settings: RegistrySettings, measured: Measured, clock: ManualClock
) -> None:
    # given a registry that keeps the newest version alone, at version 4
    few = settings.model_copy(update={"keep_versions": 1, "keep_days": 0.0})
    async with serving(build, few, clock=clock) as served:
        registry = RegistryServiceStub(served.channel)
        for name in ("a", "b", "c"):
            await apply(registry, provider(name))

        # when retention has gone round
        async with asyncio.timeout(10):
            await until(lambda: measured.total(RETIRED) == 3, lambda: clock.advance(60))
