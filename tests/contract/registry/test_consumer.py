"""A consumer of the registry over a lost, a restarted and a wiped one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from runyard.registry.v1 import registry_pb2 as pb
from services.chassis.calls.channel import open_channel
from services.chassis.drain import Drain
from services.registry.settings import RegistrySettings
from services.wire.snapshot import Resources, SnapshotBehindError, SnapshotConsumer
from tests.contract.registry.calls import started
from tests.support.background import running
from tests.support.clock import ManualClock
from tests.support.memory_kept_snapshot import MemoryKept
from tests.support.registry_resources import agent, model, provider, quickstart
from tests.support.stack import free_port
from tests.support.waiting import until


@dataclass(frozen=True)
class View:
    """What a consumer builds: enough to see what it saw."""

    version: int
    incarnation: str
    prompts: Mapping[str, str]

    @property
    def ids(self) -> list[str]:
        return sorted(self.prompts)


class Consumer:
    """A running consumer with its clock, its copy and every view it ever showed."""

    def __init__(self, target: str, kept: MemoryKept | None = None) -> None:
        self.clock = ManualClock()
        self.kept = kept or MemoryKept()
        self.drain = Drain()
        self.channel = open_channel(target)
        self.views: list[View] = []
        self.wire = SnapshotConsumer(self.channel, self.kept, self._build, self.clock, self.drain)

    def _build(self, resources: Resources, version: int, incarnation: str) -> View:
        prompts = {id_: each.agent.system_prompt for (_, id_), each in resources.items()}
        self.views.append(View(version, incarnation, prompts))
        return self.views[-1]

    @property
    def current(self) -> View:
        assert self.wire.current is not None
        return self.wire.current

    def tick(self) -> None:
        self.clock.advance(0.5)

    async def saw(self, version: int) -> View:
        """Let time pass until the consumer has kept ``version``."""

        def kept() -> bool:
            return self.kept.kept is not None and self.kept.kept.version == version

        await until(kept, self.tick)
        return self.current


@asynccontextmanager
async def consuming(target: str, kept: MemoryKept | None = None) -> AsyncIterator[Consumer]:
    consumer = Consumer(target, kept)
    async with consumer.channel, running(consumer.wire.run()):
        yield consumer


async def test_a_consumer_follows_every_change(fixed: RegistrySettings) -> None:
    async with started(fixed) as registry, consuming(fixed.listen) as consumer:
        # given the empty registry
        assert (await consumer.saw(1)).ids == []

        # when something is applied and something removed
        await registry.apply(*quickstart(), apply_set="all")
        assert (await consumer.saw(2)).ids == ["both", "local", "scout", "search", "small"]
        await registry.apply(*quickstart()[:3], apply_set="all", prune=True)

        # then
        assert (await consumer.saw(3)).ids == ["both", "local", "small"]
        assert [change.whole for change in consumer.kept.saved] == [True, False, False]
        assert consumer.kept.saved[2].upserts == {}


async def test_a_lost_registry_leaves_what_there_is(fixed: RegistrySettings) -> None:
    """And when it comes back, only what changed meanwhile is sent."""
    async with consuming(fixed.listen) as consumer:
        # given a consumer that has version 2
        async with started(fixed) as registry:
            await registry.apply(*quickstart())
            had = await consumer.saw(2)

        # when the registry is away
        await until(lambda: consumer.clock.sleepers > 0)
        assert consumer.current is had
        assert await consumer.wire.at_least(2) is had

        # then it goes on where it was
        async with started(fixed) as registry:
            await registry.apply(agent(model_id="both", system_prompt="new"))
            now = await consumer.saw(3)
    assert now.incarnation == had.incarnation
    assert now.prompts["scout"] == "new"
    assert now.ids == had.ids
    assert not any(change.whole for change in consumer.kept.saved[1:])
    assert list(consumer.kept.saved[-1].upserts) == [(pb.RESOURCE_KIND_AGENT, "scout")]


async def test_a_restarted_consumer_serves_its_copy_without_the_registry(
    fixed: RegistrySettings,
) -> None:
    # given a copy, and no registry
    kept = MemoryKept()
    async with started(fixed) as registry, consuming(fixed.listen, kept) as consumer:
        await registry.apply(*quickstart())
        had = await consumer.saw(2)

    # when a consumer starts with it
    async with consuming(fixed.listen, kept) as consumer:
        found = await consumer.wire.at_least(2)

        # then it has everything at once, and joins the registry when that is back
        assert found == had
        assert found is consumer.views[0]
        async with started(fixed) as registry:
            await registry.publish("more")
            await consumer.saw(3)
    assert not any(change.whole for change in kept.saved[1:])


async def test_a_wiped_registry_replaces_everything(
    fixed: RegistrySettings, tmp_path: Path
) -> None:
    """The new one has fewer versions: a number alone would not tell."""
    async with consuming(fixed.listen) as consumer:
        # given version 3 of one database
        async with started(fixed) as registry:
            await registry.apply(*quickstart())
            await registry.publish("more")
            had = await consumer.saw(3)

        # when another database takes its place, with version 2
        wiped = fixed.model_copy(update={"database_url": f"sqlite:///{tmp_path}/wiped.db"})
        async with started(wiped) as registry:
            await registry.publish("fresh")
            now = await consumer.saw(2)

    # then nothing of the old one is left
    assert now.ids == ["fresh"]
    assert now.incarnation != had.incarnation
    assert consumer.kept.kept is not None
    assert list(consumer.kept.kept.resources) == [(pb.RESOURCE_KIND_PROVIDER, "fresh")]


async def test_a_change_in_parts_is_seen_as_a_whole_or_not_at_all(fixed: RegistrySettings) -> None:
    async with started(fixed) as registry, consuming(fixed.listen) as consumer:
        # given 60 agents of 5 KB, which are several parts
        names = [f"a{n:02}" for n in range(60)]
        await registry.apply(provider(), model())
        for letter in "xyz":
            # when all of them change at once, again and again
            text = letter * 5000
            await registry.apply(*(agent(name, system_prompt=text) for name in names))
        await consumer.saw(5)

    # then every view that was ever shown has all of them alike
    assert consumer.views[-1].version == 5
    for view in consumer.views:
        prompts = {view.prompts.get(name, "") for name in names}
        assert len(prompts) == 1


async def test_a_caller_that_asks_for_a_version_waits_for_it(fixed: RegistrySettings) -> None:
    async with started(fixed) as registry, consuming(fixed.listen) as consumer:
        # given
        await consumer.saw(1)
        waiting = asyncio.ensure_future(consumer.wire.at_least(2))
        await asyncio.sleep(0)
        assert not waiting.done()

        # when
        await registry.publish("one")

        # then
        assert (await waiting).version == 2


async def test_a_version_of_another_incarnation_is_waited_for_whatever_its_number(
    fixed: RegistrySettings, tmp_path: Path
) -> None:
    async with consuming(fixed.listen) as consumer:
        # given version 3 of one database, and one whose incarnation the consumer has not seen
        async with started(fixed) as registry:
            await registry.publish("old", "older")
            had = await consumer.saw(3)
        assert (await consumer.wire.at_least(3, had.incarnation)).version == 3
        wiped = fixed.model_copy(update={"database_url": f"sqlite:///{tmp_path}/wiped.db"})
        async with started(wiped) as registry:
            await registry.publish("fresh")
            fresh = await consumer.saw(2)
            assert fresh.incarnation != had.incarnation

            # when each is asked for
            lost = consumer.wire.at_least(2, had.incarnation, timeout_s=0.0)
            with pytest.raises(SnapshotBehindError) as behind:
                await lost
            found = await consumer.wire.at_least(2, fresh.incarnation)

    # then the number alone decides nothing
    assert behind.value.metadata["wanted_incarnation"] == had.incarnation
    assert behind.value.metadata["current_incarnation"] == fresh.incarnation
    assert found.version == 2


async def test_a_version_that_does_not_come_is_an_error_after_two_seconds(
    fixed: RegistrySettings,
) -> None:
    async with started(fixed), consuming(fixed.listen) as consumer:
        # given
        await consumer.saw(1)
        waiting = asyncio.ensure_future(consumer.wire.at_least(9))
        await until(lambda: consumer.clock.sleepers > 0)

        # when
        consumer.clock.advance(1.9)
        await asyncio.sleep(0)
        assert not waiting.done()
        consumer.clock.advance(0.1)

        # then
        with pytest.raises(SnapshotBehindError) as caught:
            await waiting
    assert caught.value.reason == "SNAPSHOT_BEHIND"
    assert caught.value.retry_after_s is not None
    assert caught.value.metadata == {"wanted": "9", "current": "1"}


async def test_without_any_snapshot_even_version_0_has_to_wait() -> None:
    async with consuming(f"127.0.0.1:{free_port()}") as consumer:
        assert consumer.wire.current is None
        waiting = asyncio.ensure_future(consumer.wire.at_least(0))
        await until(waiting.done, consumer.tick)

        with pytest.raises(SnapshotBehindError):
            await waiting


async def test_a_copy_that_cannot_be_saved_delays_no_change(fixed: RegistrySettings) -> None:
    async with started(fixed) as registry, consuming(fixed.listen) as consumer:
        # given a store that takes nothing
        await consumer.saw(1)
        consumer.kept.failing = True
        await registry.publish("one")
        await until(lambda: consumer.wire.version == 2)
        await registry.publish("two")
        await until(lambda: consumer.wire.version == 3)

        # when it works again
        consumer.kept.failing = False
        await registry.publish("three")
        now = await consumer.saw(4)

    # then the copy is made anew, since it missed something
    assert now.ids == ["one", "three", "two"]
    assert consumer.kept.saved[-1].whole
    assert len(consumer.kept.saved[-1].upserts) == 3


async def test_a_copy_that_cannot_be_read_is_done_without(fixed: RegistrySettings) -> None:
    # given a copy of noise
    kept = MemoryKept()
    async with started(fixed), consuming(fixed.listen, kept) as consumer:
        await consumer.saw(1)
    assert kept.kept is not None
    broken = type(kept.kept)(1, kept.kept.incarnation, {(1, "x"): b"\xff\xff\xff"})
    kept.kept = broken

    # when
    async with started(fixed), consuming(fixed.listen, kept) as consumer:
        await until(lambda: kept.kept is not broken)

        # then the whole snapshot is asked for
        assert consumer.current.ids == []
        assert kept.saved[-1].whole


async def test_the_drain_ends_the_consumer(fixed: RegistrySettings) -> None:
    # given a consumer between two attempts
    consumer = Consumer(fixed.listen)
    following = asyncio.ensure_future(consumer.wire.run())
    await until(lambda: consumer.clock.sleepers > 0)

    # when
    consumer.drain.start()
    await following

    # then
    assert following.done()
    await consumer.channel.close()
