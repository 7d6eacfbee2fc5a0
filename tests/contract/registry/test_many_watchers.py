"""Many watchers, large changes, slow readers: everybody ends at the newest version."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest

from tests.contract.registry.calls import Client
from tests.support.profiles import amount, both_in_chaos, scaled
from tests.support.registry_resources import agent, model, provider
from tests.support.serving import Served
from tests.support.snapshot_follower import Follower, snapshot_of, watch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), scaled, both_in_chaos]

WATCHERS = amount(gate=50, chaos=200)
VERSIONS = amount(gate=40, chaos=100)
RESOURCES = amount(gate=2_000, chaos=10_000)


@asynccontextmanager
async def own_connections(target: str, count: int) -> AsyncIterator[list[Client]]:
    """Stubs on ``count`` connections; channels of one process share one unless told not to."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(target, options=options))
            for _ in range(count)
        ]
        yield [Client(channel) for channel in channels]


async def following(stub: Client, until_version: int, ready: asyncio.Event) -> Follower:
    follower = Follower()
    async with watch(stub, follower) as call:
        await follower.follow(call, 2)
        ready.set()
        await follower.follow(call, until_version)
    return follower


async def test_each_of_many_watchers_sees_the_net_effect_of_every_version(
    server: Served, registry: Client
) -> None:
    # given seven providers, and many watchers on four connections
    newest = 2 + VERSIONS
    await registry.apply(*(provider(f"p{number}") for number in range(7)))
    async with own_connections(server.target, 4) as stubs:
        ready = [asyncio.Event() for _ in range(WATCHERS)]
        watches = [
            asyncio.ensure_future(following(stubs[number % 4], newest, ready[number]))
            for number in range(WATCHERS)
        ]
        await asyncio.gather(*(event.wait() for event in ready))

        # when a writer makes many versions: a provider is changed, or gone, or made again
        for version in range(3, newest + 1):
            name = f"p{version % 7}"
            if version % 5 == 0:
                await registry.delete("provider", name)
            else:
                await registry.apply(provider(name, timeout={"seconds": version}))
        followers = await asyncio.gather(*watches)

    # then each saw a chain of changes without a gap, and at each of its versions what that holds
    truth = {version: await snapshot_of(registry, version) for version in range(2, newest + 1)}
    assert len(truth[newest].resources) == 6
    for follower in followers:
        ends = [to_version for _, to_version in follower.spans]
        assert [span[0] for span in follower.spans] == [0, *ends[:-1]]
        assert ends[-1] == newest
        for version, state in follower.states.items():
            assert state == truth[version].resources


async def test_a_change_among_very_many_resources_is_one_item(registry: Client) -> None:
    # given a provider, a model and very many agents, and a watcher that has them
    half = RESOURCES // 2
    await registry.apply(provider(), model(), *(agent(f"a{n:04}") for n in range(half - 2)))
    await registry.apply(*(agent(f"b{n:04}") for n in range(half)))
    follower = Follower()
    async with watch(registry, follower) as call:
        await follower.follow(call, 3)
        assert len(follower.resources) == RESOURCES
        had_bytes, had_frames = follower.received_bytes, follower.frames

        # when one changes, and one goes
        await registry.apply(agent("a0007", system_prompt="be brief"))
        await registry.delete("agent", "b0007")
        await follower.follow(call, 5)

    # then the watcher got one message with one item for each, of less than a kilobyte
    assert follower.items[1:] in ([1, 1], [2])
    assert follower.frames - had_frames == len(follower.items) - 1
    assert follower.received_bytes - had_bytes < 1_000
    assert follower.resources["agent", "a0007"].agent.system_prompt == "be brief"
    assert ("agent", "b0007") not in follower.resources


async def test_a_watcher_that_stalls_skips_to_the_newest_version(
    server: Served, registry: Client
) -> None:
    """Nothing is kept for it: what flow control holds back is read when there is room again."""
    # given two watchers of ten large agents, on connections of their own
    names = [f"a{number}" for number in range(10)]
    await registry.apply(provider(), model())
    async with own_connections(server.target, 2) as (one, other):
        stalled, reading = Follower(), Follower()
        async with watch(one, stalled) as stalled_call, watch(other, reading) as reading_call:
            await stalled.follow(stalled_call, 2)
            await reading.follow(reading_call, 2)

            # when 60 versions of a megabyte each are published, and one of the two reads none
            for version in range(3, 63):
                text = f"{version:02}" * 50_000
                await registry.apply(*(agent(name, system_prompt=text) for name in names))
                await reading.follow(reading_call, version)

            # then that one is still there, and what it gets is little, and ends with the newest
            await stalled.follow(stalled_call, 62)
            newest = await snapshot_of(registry)
            assert stalled.resources == reading.resources == newest.resources
            assert reading.received_bytes > 55_000_000
            assert stalled.received_bytes < 20_000_000
            assert any(to - since > 10 for since, to in stalled.spans[1:])

            # and it goes on with what comes next
            await registry.apply(provider("next"))
            await stalled.follow(stalled_call, 63)
            assert stalled.items[-1] == 1
