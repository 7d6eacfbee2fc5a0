"""Many watchers, large changes, slow readers: everybody ends at the newest version."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1.registry_service_pb2 import ApplyResourcesRequest, DeleteResourceRequest
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tests.support.following import Follower, snapshot_of, watch
from tests.support.registry_resources import agent, model, provider
from tests.support.serving import Served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def apply(registry: RegistryServiceStub, *resources: pb.Resource, **fields: object) -> int:
    request = ApplyResourcesRequest(resources=resources, **fields)
    return int((await registry.ApplyResources(request)).version)


async def delete_provider(registry: RegistryServiceStub, name: str) -> None:
    request = DeleteResourceRequest(kind=pb.RESOURCE_KIND_PROVIDER, id=name)
    await registry.DeleteResource(request)


@asynccontextmanager
async def own_connections(target: str, count: int) -> AsyncIterator[list[RegistryServiceStub]]:
    """Stubs on ``count`` connections; channels of one process share one unless told not to."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(target, options=options))
            for _ in range(count)
        ]
        yield [RegistryServiceStub(channel) for channel in channels]


async def following(
    stub: RegistryServiceStub, until_version: int, ready: asyncio.Event
) -> Follower:
    follower = Follower()
    async with watch(stub, follower) as call:
        await follower.follow(call, 2)
        ready.set()
        await follower.follow(call, until_version)
    return follower


async def test_200_watchers_see_the_net_effect_of_every_version(
    server: Served, registry: RegistryServiceStub
) -> None:
    # given seven providers, and 200 watchers on four connections
    await apply(registry, *(provider(f"p{number}") for number in range(7)))
    async with own_connections(server.target, 4) as stubs:
        ready = [asyncio.Event() for _ in range(200)]
        watches = [
            asyncio.ensure_future(following(stubs[number % 4], 102, ready[number]))
            for number in range(200)
        ]
        await asyncio.gather(*(event.wait() for event in ready))

        # when a writer makes 100 versions: a provider is changed, or gone, or made again
        for version in range(3, 103):
            name = f"p{version % 7}"
            if version % 5 == 0:
                await delete_provider(registry, name)
            else:
                await apply(registry, provider(name, timeout={"seconds": version}))
        followers = await asyncio.gather(*watches)

    # then each saw a chain of changes without a gap, and at each of its versions what that holds
    truth = {version: await snapshot_of(registry, version) for version in range(2, 103)}
    assert len(truth[102].resources) == 6
    for follower in followers:
        ends = [to_version for _, to_version in follower.spans]
        assert [span[0] for span in follower.spans] == [0, *ends[:-1]]
        assert ends[-1] == 102
        for version, state in follower.states.items():
            assert state == truth[version].resources


async def test_a_change_among_10_000_resources_is_one_item(registry: RegistryServiceStub) -> None:
    # given a provider, a model and 9,998 agents, and a watcher that has them
    await apply(registry, provider(), model(), *(agent(f"a{n:04}") for n in range(4_998)))
    await apply(registry, *(agent(f"b{n:04}") for n in range(5_000)))
    follower = Follower()
    async with watch(registry, follower) as call:
        await follower.follow(call, 3)
        assert len(follower.resources) == 10_000
        had_bytes, had_frames = follower.received_bytes, follower.frames

        # when one changes, and one goes
        await apply(registry, agent("a0007", system_prompt="be brief"))
        await registry.DeleteResource(
            DeleteResourceRequest(kind=pb.RESOURCE_KIND_AGENT, id="b0007")
        )
        await follower.follow(call, 5)

    # then the watcher got one message with one item for each, of less than a kilobyte
    assert follower.items[1:] in ([1, 1], [2])
    assert follower.frames - had_frames == len(follower.items) - 1
    assert follower.received_bytes - had_bytes < 1_000
    assert follower.resources["agent", "a0007"].agent.system_prompt == "be brief"
    assert ("agent", "b0007") not in follower.resources


async def test_a_watcher_that_stalls_skips_to_the_newest_version(
    server: Served, registry: RegistryServiceStub
) -> None:
    """Nothing is kept for it: what flow control holds back is read when there is room again."""
    # given two watchers of ten large agents, on connections of their own
    names = [f"a{number}" for number in range(10)]
    await apply(registry, provider(), model())
    async with own_connections(server.target, 2) as (one, other):
        stalled, reading = Follower(), Follower()
        async with watch(one, stalled) as stalled_call, watch(other, reading) as reading_call:
            await stalled.follow(stalled_call, 2)
            await reading.follow(reading_call, 2)

            # when 60 versions of a megabyte each are published, and one of the two reads none
            for version in range(3, 63):
                text = f"{version:02}" * 50_000
                await apply(registry, *(agent(name, system_prompt=text) for name in names))
                await reading.follow(reading_call, version)

            # then that one is still there, and what it gets is little, and ends with the newest
            await stalled.follow(stalled_call, 62)
            newest = await snapshot_of(registry)
            assert stalled.resources == reading.resources == newest.resources
            assert reading.received_bytes > 55_000_000
            assert stalled.received_bytes < 20_000_000
            assert any(to - since > 10 for since, to in stalled.spans[1:])

            # and it goes on with what comes next
            await apply(registry, provider("next"))
            await stalled.follow(stalled_call, 63)
            assert stalled.items[-1] == 1
