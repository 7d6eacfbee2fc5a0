"""Snapshots and changes, read piece by piece at the pace of whoever receives them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from services.chassis.clock import Clock
from services.chassis.drain import Drain
from services.chassis.feed import Draining, Idle, Items, Page, follow
from services.chassis.notifier import Notifier
from services.registry.core.model import Ref
from services.registry.core.ports import Head, RegistryReads, RegistryStore, Stored
from services.registry.core.registry import Registry
from services.registry.core.watching import (
    WHOLE,
    Alive,
    ChangePart,
    Frame,
    NetChange,
    Part,
    SnapshotPart,
    Stopping,
    next_change,
    read_part,
    resume_from,
)

HEARTBEAT_S = 10.0


class SnapshotStreams:
    """The long answers of the registry.

    Args:
        channel: Rung for every new version.
    """

    def __init__(
        self,
        store: RegistryStore,
        registry: Registry,
        *,
        notifier: Notifier,
        channel: str,
        clock: Clock,
        drain: Drain,
    ) -> None:
        self._store = store
        self._registry = registry
        self._notifier = notifier
        self._channel = channel
        self._clock = clock
        self._drain = drain

    async def snapshot(self, version: int | None) -> AsyncGenerator[SnapshotPart, None]:
        """A whole version, the current one for None.

        Raises:
            VersionNotFoundError: It is not kept.
        """
        facts = await self._registry.snapshot_facts(version)
        change = NetChange(WHOLE, facts.version)
        async with aclosing(self._parts(change)) as parts:
            async for piece in parts:
                resources = tuple(one for one in piece.part.items if isinstance(one, Stored))
                last = piece.part.next_after is None
                yield SnapshotPart(facts, piece.number, last, resources)

    async def watch(self, after_version: int, incarnation: str) -> AsyncGenerator[Frame, None]:
        """Net changes from ``after_version`` on, for as long as the server runs."""
        with self._notifier.bell(self._channel) as bell:
            after = resume_from(await self._head(), after_version, incarnation)
            feed = follow(
                self._owed,
                bell,
                after=after,
                drain=self._drain,
                clock=self._clock,
                heartbeat_s=HEARTBEAT_S,
            )
            async with aclosing(feed):  # type: ignore[type-var]  # follow is a generator
                async for event in feed:
                    async with aclosing(self._frames(event)) as frames:
                        async for frame in frames:
                            yield frame

    async def incarnation(self) -> str:
        return (await self._head()).incarnation

    async def _head(self) -> Head:
        return await self._store.read(lambda reads: reads.head())

    async def _owed(self, has_version: int) -> Page[NetChange]:
        head = await self._head()
        change = next_change(head, has_version)
        return Page([change] if change else [], head.version)

    async def _frames(
        self, event: Items[NetChange] | Idle | Draining
    ) -> AsyncGenerator[Frame, None]:
        match event:
            case Items(items):
                for change in items:
                    async with aclosing(self._parts(change)) as parts:
                        async for part in parts:
                            yield part
            case Idle(cursor):
                yield Alive(cursor)
            case Draining(cursor):
                yield Stopping(cursor)

    async def _parts(self, change: NetChange) -> AsyncGenerator[ChangePart, None]:
        """At least one, also of an empty snapshot."""
        number, after = 0, None
        while True:
            part = await self._store.read(partial(_read, change=change, after=after))
            yield ChangePart(change, number, part)
            if part.next_after is None:
                return
            number, after = number + 1, part.next_after


def _read(reads: RegistryReads, *, change: NetChange, after: Ref | None) -> Part:
    return read_part(reads, change, after)
