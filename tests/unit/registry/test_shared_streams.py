"""Many watchers of one registry: each gets everything, and the store is read once for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from services.chassis.drain import Drain
from services.chassis.follow.notifier import LocalNotifier
from services.registry.core.model import BuiltinAdapter, Provider
from services.registry.core.ports import Reads
from services.registry.core.refs import Ref
from services.registry.core.stored import Stored
from services.registry.core.watching import ChangePart, Frame, Position
from services.registry.engine.streams import SnapshotStreams
from tests.support.memory_registry import MemoryRegistryStore
from tests.support.registry_use_cases import UseCases

T = TypeVar("T")


class CountingStore(MemoryRegistryStore):
    """Counts its reads, each of which takes a turn of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    async def read(self, fn: Callable[[Reads], T]) -> T:
        self.reads += 1
        await asyncio.sleep(0)
        return fn(self.tx)


class WatchedRegistry:
    def __init__(self) -> None:
        self.store = CountingStore()
        self.use_cases = UseCases(self.store)
        self.notifier = LocalNotifier(self.use_cases.clock)
        self.streams = SnapshotStreams(
            self.store,
            self.use_cases.registry,
            notifier=self.notifier,
            channel="snapshot",
            clock=self.use_cases.clock,
            drain=Drain(),
        )

    async def publish(self, *ids: str) -> None:
        await self.use_cases.apply(*(Provider(each, BuiltinAdapter()) for each in ids))
        self.notifier.notify("snapshot")

    @asynccontextmanager
    async def watchers(self, count: int, version: int = 0) -> AsyncIterator[list[Watcher]]:
        has = Position(version, (await self.use_cases.head()).incarnation)
        found = [Watcher(self.streams, has) for _ in range(count)]
        await settle()
        try:
            yield found
        finally:
            for each in found:
                each.task.cancel()
            await asyncio.gather(*(each.task for each in found), return_exceptions=True)


class Watcher:
    def __init__(self, streams: SnapshotStreams, has: Position) -> None:
        self.frames: list[Frame] = []
        self.task = asyncio.ensure_future(self._watch(streams, has))

    async def _watch(self, streams: SnapshotStreams, has: Position) -> None:
        async for frame in streams.watch(has):
            self.frames.append(frame)

    @property
    def seen(self) -> list[tuple[int, int, list[str]]]:
        """From which version to which, and the ids that came or went."""
        return [
            (frame.change.from_version, frame.change.to_version, [*map(_id, frame.part.items)])
            for frame in self.frames
            if isinstance(frame, ChangePart)
        ]


def _id(item: Stored | Ref) -> str:
    return item.ref.id if isinstance(item, Stored) else item.id


async def settle() -> None:
    for _ in range(60):
        await asyncio.sleep(0)


async def test_two_hundred_watchers_cost_a_handful_of_reads_per_commit() -> None:
    # given two hundred at the head
    registry = WatchedRegistry()
    async with registry.watchers(200, version=1) as watchers:
        registry.store.reads = 0

        # when
        await registry.publish("a")
        await settle()

        # then everybody has it: looks before, a part, looks after
        assert [each.seen for each in watchers] == [[(1, 2, ["a"])]] * 200
        assert registry.store.reads <= 8


async def test_whoever_needs_everything_shares_it() -> None:
    registry = WatchedRegistry()
    await registry.publish(*(f"p{n:03}" for n in range(300)))
    registry.store.reads = 0
    async with registry.watchers(50) as watchers:
        await settle()
        whole = [f"p{n:03}" for n in range(300)]
        assert [sum((ids for *_, ids in each.seen), []) for each in watchers] == [whole] * 50  # noqa: RUF017
        # each looks up where it stands; the parts are read once
        parts = len(watchers[0].seen)
        assert registry.store.reads <= 50 + parts + 6


async def test_watchers_at_different_versions_each_get_their_own_change() -> None:
    # given
    registry = WatchedRegistry()
    await registry.publish("a")
    await registry.publish("b")

    # when
    async with (
        registry.watchers(1, 1) as (one,),
        registry.watchers(1, 2) as (two,),
        registry.watchers(1) as (all_,),
    ):
        await settle()

        # then
        assert one.seen == [(1, 3, ["a", "b"])]
        assert two.seen == [(2, 3, ["b"])]
        assert all_.seen == [(0, 3, ["a", "b"])]


async def test_nothing_is_remembered_once_nobody_reads() -> None:
    registry = WatchedRegistry()
    async with registry.watchers(3, version=1):
        await registry.publish("a")
        await settle()
        assert len(registry.streams._shared._cache) == 0
