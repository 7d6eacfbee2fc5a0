"""Snapshots and changes, read piece by piece at the pace of whoever receives them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import partial

from services.chassis.clock import Clock
from services.chassis.drain import Drain
from services.chassis.feed import Draining, Idle, Items, Page, follow
from services.chassis.notifier import Notifier
from services.chassis.shared_work import SharedLook, SharedReads
from services.registry.core.errors import VersionNotFoundError
from services.registry.core.history_ports import HistoryStore
from services.registry.core.model import Ref
from services.registry.core.ports import Head, RegistryReads, Stored
from services.registry.core.registry import Registry
from services.registry.core.watching import (
    WHOLE,
    Alive,
    ChangePart,
    Frame,
    NetChange,
    Part,
    Position,
    SnapshotPart,
    Stopping,
    next_change,
    read_part,
    resume_from,
)
from services.registry.engine.metering import WATCHERS, WatchLag

HEARTBEAT_S = 10.0
# Of parts, remembered while anybody reads any.
SHARED_BYTES = 8 * 1024 * 1024
# A name, hashes and instants, roughly.
_ITEM_BYTES = 256


class SnapshotStreams:
    """The long answers of the registry.

    Args:
        channel: Rung for every new version.
    """

    def __init__(
        self,
        store: HistoryStore,
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
        self._lag = WatchLag(store, clock)
        self._look: SharedLook[Head] = SharedLook()
        self._shared: SharedReads[tuple[NetChange, Ref | None], Part] = SharedReads(
            max_bytes=SHARED_BYTES, size_bytes=_size_bytes
        )
        self._reading = 0

    async def snapshot(self, version: int | None) -> AsyncGenerator[SnapshotPart, None]:
        """A whole version, the current one for None.

        Raises:
            VersionNotFoundError: It is not kept.
        """
        facts = await self._registry.snapshot_facts(version)
        change = NetChange(WHOLE, facts.version, facts.lineage)
        async with aclosing(self._parts(change)) as parts:
            async for piece in parts:
                if piece is None:
                    raise await self._gone(facts.version)
                resources = tuple(one for one in piece.part.items if isinstance(one, Stored))
                last = piece.part.next_after is None
                yield SnapshotPart(facts, piece.number, last, resources)

    async def watch(self, has: Position) -> AsyncGenerator[Frame, None]:
        """Net changes from what the watcher has, for as long as the server runs."""
        with WATCHERS.one_more(), self._notifier.bell(self._channel) as bell:
            sent = await self._store.read(lambda reads: _resumed(reads, has))
            feed = follow(
                lambda _cursor: self._owed(sent),
                bell,
                after=sent.version,
                drain=self._drain,
                clock=self._clock,
                heartbeat_s=HEARTBEAT_S,
            )
            async with aclosing(feed):
                async for event in feed:
                    async with aclosing(self._frames(event, sent)) as frames:
                        async for frame in frames:
                            yield frame

    async def incarnation(self) -> str:
        return (await self._head()).incarnation

    async def _head(self) -> Head:
        return await self._store.read(lambda reads: reads.head())

    async def _gone(self, version: int) -> VersionNotFoundError:
        head = await self._head()
        return VersionNotFoundError.of(version, head.oldest_version, head.version)

    async def _owed(self, sent: _Sent) -> Page[NetChange]:
        head = await self._look(self._head)
        change = next_change(head, sent.version, sent.lineage)
        return Page([change] if change else [], head.version)

    async def _frames(
        self, event: Items[NetChange] | Idle | Draining, sent: _Sent
    ) -> AsyncGenerator[Frame, None]:
        match event:
            case Items(items):
                for change in items:
                    async with aclosing(self._parts(change)) as parts:
                        async for part in parts:
                            if part is None:
                                # Nothing can be built on half a change: the next is the whole.
                                sent.version, sent.lineage = WHOLE, ""
                                return
                            yield part
                    sent.version, sent.lineage = change.to_version, change.lineage
                    if sent.live:  # who has just come may be told of what is old
                        await self._lag.shown(change.to_version)
                sent.live = True
            case Idle():
                yield Alive(sent.version)
            case Draining():
                yield Stopping(sent.version)

    async def _parts(self, change: NetChange) -> AsyncGenerator[ChangePart | None, None]:
        """At least one, also of an empty snapshot; None and the end when a version is gone."""
        number, after = 0, None
        with self._sharing():
            while True:
                part = await self._part(change, after)
                if part is None:
                    yield None
                    return
                yield ChangePart(change, number, part)
                if part.next_after is None:
                    return
                number, after = number + 1, part.next_after

    async def _part(self, change: NetChange, after: Ref | None) -> Part | None:
        """Versions never change: what one is told serves all who are owed the same."""
        try:
            read = partial(self._store.read, partial(_read, change=change, after=after))
            return await self._shared.get((change, after), read)
        except _GoneError:
            return None

    @contextmanager
    def _sharing(self) -> Iterator[None]:
        """Remember parts as long as anybody reads any."""
        self._reading += 1
        try:
            yield
        finally:
            self._reading -= 1
            if self._reading == 0:
                self._shared.forget()


class _GoneError(Exception):
    """A version is no longer kept; unlike a part, that is not remembered."""


@dataclass(slots=True)
class _Sent:
    """The version that a watcher has got, whole; live once it has caught up."""

    version: int
    lineage: str = ""
    live: bool = False


def _resumed(reads: RegistryReads, has: Position) -> _Sent:
    head = reads.head()
    lineage = reads.lineage(has.version) or ""
    version = resume_from(head, has, lineage)
    return _Sent(version, lineage if version else "", live=version == head.version)


def _read(reads: RegistryReads, *, change: NetChange, after: Ref | None) -> Part:
    part = read_part(reads, change, after)
    if part is None:
        raise _GoneError
    return part


def _size_bytes(part: Part) -> int:
    bodies = sum(len(item.body) for item in part.items if isinstance(item, Stored))
    return bodies + _ITEM_BYTES * (1 + len(part.items))
