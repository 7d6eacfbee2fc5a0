"""Watching: net changes, resumption, whole snapshots, heartbeats, drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.chassis.service import Chassis, Service
from services.chassis.streaming import streaming
from services.registry.main import build
from services.registry.settings import RegistrySettings
from tests.support.clock import ManualClock
from tests.support.registry_resources import agent, model, provider, quickstart
from tests.support.serving import serving
from tests.support.turns import until

Frame = service_pb.WatchSnapshotResponse


async def apply(registry: RegistryServiceStub, *resources: pb.Resource, **fields: object) -> int:
    request = service_pb.ApplyResourcesRequest(resources=resources, **fields)
    return int((await registry.ApplyResources(request)).version)


class Watch:
    """An open watch; ``change`` reads up to the last part of the next change."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def frame(self) -> Frame:
        frame = await self._call.read()
        assert frame is not grpc.aio.EOF
        return frame

    async def change(self) -> list[Frame]:
        parts = [await self.frame()]
        while not parts[-1].last_part:
            parts.append(await self.frame())
        return parts

    async def ended(self) -> bool:
        return await self._call.read() is grpc.aio.EOF


@asynccontextmanager
async def watching(
    registry: RegistryServiceStub, after_version: int = 0, incarnation: str = ""
) -> AsyncIterator[Watch]:
    request = service_pb.WatchSnapshotRequest(after_version=after_version, incarnation=incarnation)
    async with streaming(registry.WatchSnapshot(request)) as call:
        yield Watch(call)


async def incarnation_of(registry: RegistryServiceStub) -> str:
    async with watching(registry) as watch:
        return (await watch.frame()).incarnation


def span(parts: list[Frame]) -> tuple[int, int]:
    return parts[0].from_version, parts[0].to_version


def items(parts: list[Frame]) -> list[tuple[str, str]]:
    found = []
    for part in parts:
        for item in part.items:
            if item.HasField("removed"):
                found.append(("removed", item.removed.id))
            else:
                arm = item.upserted.WhichOneof("resource")
                found.append(("upserted", getattr(item.upserted, arm).id))
    return found


async def test_a_new_watcher_gets_everything_then_what_changes(
    registry: RegistryServiceStub,
) -> None:
    # given a watcher that has nothing
    await apply(registry, *quickstart())
    async with watching(registry) as watch:
        # then it gets the whole snapshot
        first = await watch.change()
        assert span(first) == (0, 2)
        assert [name for _, name in items(first)] == ["local", "small", "both", "scout", "search"]

        # and when one resource changes, that one alone
        await apply(registry, agent(model_id="both", system_prompt="be brief"))
        second = await watch.change()
        assert span(second) == (2, 3)
        assert items(second) == [("upserted", "scout")]
        (item,) = second[0].items
        assert item.upserted.agent.system_prompt == "be brief"


async def test_an_empty_registry_is_an_empty_whole_snapshot(registry: RegistryServiceStub) -> None:
    async with watching(registry) as watch:
        parts = await watch.change()

    assert (span(parts), items(parts)) == ((0, 1), [])


async def test_a_watcher_at_the_head_gets_nothing_until_a_change(
    registry: RegistryServiceStub,
) -> None:
    # given
    await apply(registry, provider("one"))
    async with watching(registry, 2, await incarnation_of(registry)) as watch:
        arriving = asyncio.ensure_future(watch.change())
        await apply(registry, provider("one"))  # identical: no version, so no frame
        assert not arriving.done()

        # when
        await apply(registry, provider("two"))

        # then the first thing it ever gets is that change
        parts = await arriving
        assert (span(parts), items(parts)) == ((2, 3), [("upserted", "two")])


async def test_a_watcher_behind_gets_the_net_change(registry: RegistryServiceStub) -> None:
    """Five versions in between are one change: what came and went is not in it."""
    # given version 2
    await apply(registry, provider("stays"), provider("goes"), apply_set="s")
    incarnation = await incarnation_of(registry)
    # when four versions pass
    await apply(registry, provider("passing"), apply_set="s")
    await apply(registry, provider("late", timeout={"seconds": 1}))
    await apply(registry, provider("late", timeout={"seconds": 2}))
    await apply(registry, provider("stays"), apply_set="s", prune=True)

    # then
    async with watching(registry, 2, incarnation) as watch:
        parts = await watch.change()
    assert span(parts) == (2, 6)
    assert items(parts) == [("removed", "goes"), ("upserted", "late")]
    assert parts[0].items[1].upserted.provider.timeout.seconds == 2


async def test_a_net_change_of_nothing_still_leads_to_its_version(
    registry: RegistryServiceStub,
) -> None:
    """Whoever waits for that version has to learn that it is there."""
    # given version 2, after which something came and went
    await apply(registry, provider("stays"))
    incarnation = await incarnation_of(registry)
    await apply(registry, provider("passing"), apply_set="s")
    await apply(registry, apply_set="s", prune=True)

    # when
    async with watching(registry, 2, incarnation) as watch:
        parts = await watch.change()

    # then
    assert (span(parts), items(parts)) == ((2, 4), [])


async def test_what_was_gone_before_is_not_removed_again(registry: RegistryServiceStub) -> None:
    # given one that came, changed and went up to version 4
    await apply(registry, provider("gone"), apply_set="s")
    await apply(registry, provider("gone", timeout={"seconds": 1}), apply_set="s")
    await apply(registry, apply_set="s", prune=True)
    incarnation = await incarnation_of(registry)
    await apply(registry, provider("new"))

    # when
    async with watching(registry, 4, incarnation) as watch:
        parts = await watch.change()

    # then
    assert (span(parts), items(parts)) == ((4, 5), [("upserted", "new")])


async def test_what_was_removed_and_made_again_is_an_upsert(registry: RegistryServiceStub) -> None:
    # given
    await apply(registry, provider("phoenix"), apply_set="s")
    incarnation = await incarnation_of(registry)
    await apply(registry, apply_set="s", prune=True)
    await apply(registry, provider("phoenix", timeout={"seconds": 3}))

    # when
    async with watching(registry, 2, incarnation) as watch:
        parts = await watch.change()

    # then
    assert items(parts) == [("upserted", "phoenix")]


@pytest.mark.parametrize(
    ("after_version", "same_incarnation"), [(2, False), (99, True), (-1, True), (0, True)]
)
async def test_a_watcher_that_cannot_be_resumed_gets_everything(
    registry: RegistryServiceStub, after_version: int, same_incarnation: bool
) -> None:
    # given
    await apply(registry, provider("one"))
    incarnation = await incarnation_of(registry) if same_incarnation else "of another database"

    # when
    async with watching(registry, after_version, incarnation) as watch:
        parts = await watch.change()

    # then
    assert (span(parts), items(parts)) == ((0, 2), [("upserted", "one")])


async def test_a_large_change_comes_in_parts_of_64_kib(registry: RegistryServiceStub) -> None:
    # given
    await apply(registry, provider(), model())
    async with watching(registry) as watch:
        await watch.change()

        # when 100 agents of 4 KB come at once, one of them larger than a part
        many = [agent(f"a{n:02}", system_prompt="x" * 4000) for n in range(100)]
        many[50].agent.system_prompt = "x" * 200_000
        await apply(registry, *many)
        parts = await watch.change()

    # then
    assert [part.part for part in parts] == list(range(len(parts)))
    assert {(part.from_version, part.to_version) for part in parts} == {(2, 3)}
    assert all(part.items for part in parts)
    assert len(items(parts)) == 100
    sizes = sorted(part.ByteSize() for part in parts)
    assert sizes[-1] > 200_000
    assert sizes[-2] < 80_000


async def test_a_change_while_parts_are_sent_comes_after_them(
    registry: RegistryServiceStub,
) -> None:
    """The parts of a change all belong to one version, however long they take."""
    # given a watcher that has read one part of several
    await apply(registry, provider(), model())
    await apply(registry, *(agent(f"a{n}", system_prompt="x" * 30_000) for n in range(30)))
    async with watching(registry) as watch:
        parts = [await watch.frame()]
        assert not parts[0].last_part

        # when everything changes before it reads on
        await apply(registry, *(agent(f"a{n}", system_prompt="y" * 30_000) for n in range(30)))
        while not parts[-1].last_part:
            parts.append(await watch.frame())
        following = await watch.change()

    # then
    prompts = {i.upserted.agent.system_prompt[:1] for p in parts for i in p.items}
    assert prompts == {"", "x"}
    assert span(parts) == (0, 3)
    assert span(following) == (3, 4)


async def test_an_idle_watch_shows_that_it_lives(
    registry: RegistryServiceStub, clock: ManualClock
) -> None:
    # given
    async with watching(registry) as watch:
        await watch.change()
        arriving = asyncio.ensure_future(watch.frame())

        # when 10 s pass without a change
        await until(arriving.done, lambda: clock.sleepers and clock.advance(1.0))
        frame = await arriving

    # then
    assert frame.HasField("heartbeat")
    assert (frame.from_version, frame.to_version) == (1, 1)
    assert frame.heartbeat.cursor == b"1"
    assert frame.heartbeat.server_time.ToSeconds() >= 1_767_225_600 + 10
    assert frame.incarnation


async def test_a_draining_server_says_where_to_go_on(settings: RegistrySettings) -> None:
    # given a watch on a server of its own
    given: list[Chassis] = []

    async def noting(settings: RegistrySettings, chassis: Chassis) -> Service:
        given.append(chassis)
        return await build(settings, chassis)

    async with serving(noting, settings) as server:
        registry = RegistryServiceStub(server.channel)
        await apply(registry, provider("one"))
        async with watching(registry) as watch:
            await watch.change()

            # when it begins to stop
            given[0].drain.start()
            frame = await watch.frame()

            # then the last item is the cursor, and the stream ends well
            assert frame.HasField("reconnect")
            assert (frame.to_version, frame.reconnect.cursor) == (2, b"2")
            assert await watch.ended()


async def test_many_watchers_see_the_same(registry: RegistryServiceStub) -> None:
    # given
    watches = [watching(registry) for _ in range(20)]
    opened = [await watch.__aenter__() for watch in watches]
    for watch in opened:
        await watch.change()

    # when
    await apply(registry, provider("one"))

    # then
    seen = [items(await watch.change()) for watch in opened]
    assert seen == [[("upserted", "one")]] * 20
    for watch in watches:
        await watch.__aexit__(None, None, None)
