"""Many watchers of one registry: each gets everything, and the store is read once for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from services.chassis.drain import Drain
from services.chassis.notifier import LocalNotifier
from services.registry.core.history_ports import HistoryReads
from services.registry.core.model import BuiltinAdapter, Provider, Ref
from services.registry.core.ports import Stored
from services.registry.core.watching import ChangePart, Frame, Position
from services.registry.engine.streams import SnapshotStreams
from tests.support.memory_registry import MemoryRegistryStore
from tests.support.registry_bench import Bench

T = TypeVar("T")


class CountingStore(MemoryRegistryStore):
    """Counts its reads, each of which takes a turn of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    async def read(self, fn: Callable[[HistoryReads], T]) -> T:
        self.reads += 1
        await asyncio.sleep(0)
        return fn(self.tx)


class Rig:
    def __init__(self) -> None:
        self.store = CountingStore()
        self.bench = Bench(self.store)
        self.notifier = LocalNotifier(self.bench.clock)
        self.streams = SnapshotStreams(
            self.store,
            self.bench.registry,
            notifier=self.notifier,
            channel="snapshot",
            clock=self.bench.clock,
            drain=Drain(),
        )

    async def publish(self, *ids: str) -> None:
        await self.bench.apply(*(Provider(each, BuiltinAdapter()) for each in ids))
        self.notifier.ring("snapshot")

    @asynccontextmanager
    async def watchers(self, count: int, version: int = 0) -> AsyncIterator[list[Watcher]]:
        has = Position(version, (await self.bench.head()).incarnation)
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
    rig = Rig()
    async with rig.watchers(200, version=1) as watchers:
        rig.store.reads = 0

        # when
        await rig.publish("a")
        await settle()

        # then everybody has it: looks before, a part, looks after
        assert [each.seen for each in watchers] == [[(1, 2, ["a"])]] * 200
        assert rig.store.reads <= 8


async def test_whoever_needs_everything_shares_it() -> None:
    rig = Rig()
    await rig.publish(*(f"p{n:03}" for n in range(300)))
    async with rig.watchers(50) as watchers:
        await settle()
        whole = [f"p{n:03}" for n in range(300)]
        assert [sum((ids for *_, ids in each.seen), []) for each in watchers] == [whole] * 50  # noqa: RUF017
        # each looks up where it stands; the parts are read once
        parts = len(watchers[0].seen)
        assert rig.store.reads <= 50 + parts + 6


async def test_watchers_at_different_versions_each_get_their_own_change() -> None:
    # given
    rig = Rig()
    await rig.publish("a")
    await rig.publish("b")

    # when
    async with (
        rig.watchers(1, 1) as (one,),
        rig.watchers(1, 2) as (two,),
        rig.watchers(1) as (all_,),
    ):
        await settle()

        # then
        assert one.seen == [(1, 3, ["a", "b"])]
        assert two.seen == [(2, 3, ["b"])]
        assert all_.seen == [(0, 3, ["a", "b"])]


async def test_nothing_is_remembered_once_nobody_reads() -> None:
    rig = Rig()
    async with rig.watchers(3, version=1):
        await rig.publish("a")
        await settle()
        assert len(rig.streams._shared._known) == 0
