"""Two registries on one PostgreSQL database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1.registry_service_pb2 import (
    APPLY_MODE_CREATE,
    ApplyResourcesRequest,
    RegisterProviderRequest,
)
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.chassis.channel import open_channel
from services.registry.main import build
from services.registry.settings import RegistrySettings
from tests.support.clock import ManualClock
from tests.support.following import Follower, snapshot_of, watch
from tests.support.registry_resources import provider
from tests.support.serving import serving
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Pair = tuple[RegistryServiceStub, RegistryServiceStub]


async def apply(registry: RegistryServiceStub, *resources: pb.Resource, **fields: object) -> int:
    request = ApplyResourcesRequest(resources=resources, **fields)
    return int((await registry.ApplyResources(request, timeout=30)).version)


@pytest_asyncio.fixture
async def replicas(postgres_url: str) -> AsyncIterator[Pair]:
    """Both in this process; their clocks stand still, so that neither ever polls."""
    settings = RegistrySettings(listen="127.0.0.1:0", database_url=postgres_url, drain_grace_s=1.0)
    async with (
        serving(build, settings, clock=ManualClock()) as one,
        serving(build, settings, clock=ManualClock()) as other,
    ):
        yield RegistryServiceStub(one.channel), RegistryServiceStub(other.channel)


async def test_what_one_replica_writes_the_watchers_of_the_other_are_told(replicas: Pair) -> None:
    # given a watcher of each
    one, other = replicas
    followers = Follower(), Follower()
    async with watch(one, followers[0]) as of_one, watch(other, followers[1]) as of_other:
        await followers[0].follow(of_one, 1)
        await followers[1].follow(of_other, 1)

        # when each is written to, in turns
        for version in range(2, 8):
            writer = replicas[version % 2]
            assert await apply(writer, provider(f"p{version}")) == version

            # then both watchers are told
            await followers[0].follow(of_one, version)
            await followers[1].follow(of_other, version)

    assert followers[0].resources == followers[1].resources
    assert followers[0].incarnation == followers[1].incarnation
    assert len(followers[0].resources) == 6


async def test_16_registrations_at_once_over_both_all_survive(replicas: Pair) -> None:
    # when
    requests = [
        RegisterProviderRequest(provider=provider(f"p{number}").provider) for number in range(16)
    ]
    answers = await asyncio.gather(
        *(replicas[n % 2].RegisterProvider(request) for n, request in enumerate(requests))
    )

    # then each is one version, none is missing, and both replicas say so
    assert sorted(answer.version for answer in answers) == list(range(2, 18))
    one, other = await snapshot_of(replicas[0]), await snapshot_of(replicas[1])
    assert one.resources == other.resources
    assert len(one.resources) == 16


@pytest.mark.parametrize(
    "failpoint", ["", pytest.param("notify.received=kill@3", marks=pytest.mark.chaos)]
)
async def test_a_replica_that_is_killed_takes_nothing_with_it(
    postgres_url: str, tmp_path: Path, failpoint: str
) -> None:
    """Whoever was not answered repeats at the other, and finds what was done or does it there."""
    # given two processes that find an empty database at the same moment
    stacks = []
    for name, spec in (("one", failpoint), ("other", "")):
        (tmp_path / name).mkdir()
        variables = {
            "RUNYARD_REGISTRY_DATABASE_URL": postgres_url,
            "RUNYARD_REGISTRY_FAILPOINTS": spec,
        }
        stacks.append(Stack(tmp_path / name, environment={"registry": variables}))
    try:
        await asyncio.gather(*(stack.start("registry") for stack in stacks))
        async with (
            open_channel(stacks[0].target("registry")) as dying,
            open_channel(stacks[1].target("registry")) as staying,
        ):
            ways = RegistryServiceStub(dying), RegistryServiceStub(staying)
            follower = Follower()
            async with watch(ways[1], follower) as call:
                # when eight writers use both, and one is killed among them
                writes = [asyncio.ensure_future(written(ways, number)) for number in range(8)]
                await follower.follow(call, 20)
                if not failpoint:
                    stacks[0].processes["registry"].kill()
                assert await stacks[0].processes["registry"].wait() == -9
                versions = [each for found in await asyncio.gather(*writes) for each in found]

                # then every write is one version, and the watcher of the other has them all
                assert sorted(versions) == list(range(2, 162))
                await follower.follow(call, 161)
            newest = await snapshot_of(ways[1])
    finally:
        for stack in stacks:
            await stack.stop()
    assert follower.resources == newest.resources
    assert len(newest.resources) == 160


async def written(ways: Pair, writer: int) -> list[int]:
    """Create 20 providers, each at one replica, and at the other when that one breaks off."""
    versions = []
    for number in range(20):
        name = f"w{writer}-{number}"
        request = {"mode": APPLY_MODE_CREATE, "request_id": name}
        try:
            versions.append(await apply(ways[number % 2], provider(name), **request))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            versions.append(await apply(ways[1], provider(name), **request))
    return versions
