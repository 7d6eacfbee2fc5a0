"""Two registries on one PostgreSQL database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from runyard.registry.v1.registry_service_pb2 import APPLY_MODE_CREATE, ApplyResourcesRequest
from services.chassis.calls.channel import open_channel
from tests.contract.registry.calls import Client, settings_of, started
from tests.support.clock import ManualClock
from tests.support.profiles import amount, scaled
from tests.support.registry_resources import provider
from tests.support.snapshot_follower import Follower, snapshot_of, watch
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# Of each of eight writers.
WRITES = amount(gate=4, chaos=20)

Pair = tuple[Client, Client]


@pytest_asyncio.fixture
async def replicas(postgres_url: str) -> AsyncIterator[Pair]:
    """Both in this process; their clocks stand still, so that neither ever polls."""
    settings = settings_of(postgres_url)
    async with started(settings, ManualClock()) as one, started(settings, ManualClock()) as other:
        yield one, other


async def test_watchers_of_one_replica_see_what_the_other_writes(replicas: Pair) -> None:
    # given a watcher of each
    one, other = replicas
    followers = Follower(), Follower()
    async with watch(one, followers[0]) as of_one, watch(other, followers[1]) as of_other:
        await followers[0].follow(of_one, 1)
        await followers[1].follow(of_other, 1)

        # when each is written to, in turns
        for version in range(2, 8):
            writer = replicas[version % 2]
            assert await writer.apply(provider(f"p{version}")) == version

            # then both watchers are told
            await followers[0].follow(of_one, version)
            await followers[1].follow(of_other, version)

    assert followers[0].resources == followers[1].resources
    assert followers[0].incarnation == followers[1].incarnation
    assert len(followers[0].resources) == 6


async def test_16_registrations_at_once_over_both_all_survive(replicas: Pair) -> None:
    # when
    answers = await asyncio.gather(
        *(replicas[number % 2].register(provider(f"p{number}")) for number in range(16))
    )

    # then each is one version, none is missing, and both replicas say so
    assert sorted(answer.version for answer in answers) == list(range(2, 18))
    one, other = await snapshot_of(replicas[0]), await snapshot_of(replicas[1])
    assert one.resources == other.resources
    assert len(one.resources) == 16


@pytest.mark.parametrize(
    "failpoint", ["", pytest.param("notify.received=kill@3", marks=pytest.mark.chaos)]
)
@scaled
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
            open_channel(stacks[0].target("registry")) as killed,
            open_channel(stacks[1].target("registry")) as other,
        ):
            replicas = Client(killed), Client(other)
            follower = Follower()
            async with watch(replicas[1], follower) as call:
                # when eight writers use both, and one is killed among them
                writes = [asyncio.ensure_future(written(replicas, number)) for number in range(8)]
                await follower.follow(call, 10)
                if not failpoint:
                    stacks[0].processes["registry"].kill()
                assert await stacks[0].processes["registry"].wait() == -9
                versions = [each for found in await asyncio.gather(*writes) for each in found]

                # then every write is one version, and the watcher of the other has them all
                assert sorted(versions) == list(range(2, 2 + 8 * WRITES))
                await follower.follow(call, 1 + 8 * WRITES)
            newest = await snapshot_of(replicas[1])
    finally:
        for stack in stacks:
            await stack.stop()
    assert follower.resources == newest.resources
    assert len(newest.resources) == 8 * WRITES


async def written(replicas: Pair, writer: int) -> list[int]:
    """Create some providers, each at one replica, and at the other when that one breaks off."""
    versions = []
    for number in range(WRITES):
        name = f"w{writer}-{number}"
        request = ApplyResourcesRequest(
            resources=[provider(name)], mode=APPLY_MODE_CREATE, request_id=name
        )
        try:
            answer = await replicas[number % 2].ApplyResources(request, timeout=30)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            answer = await replicas[1].ApplyResources(request, timeout=30)
        versions.append(answer.version)
    return versions
