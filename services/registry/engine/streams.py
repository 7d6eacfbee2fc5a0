"""Streams of snapshots and changes, read part by part at the pace of the receiver."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from services.chassis.clock import Clock
from services.chassis.drain import Drain
from services.chassis.follow.feed import Draining, Idle, Items, Page, follow
from services.chassis.follow.notifier import Notifier
from services.chassis.follow.rereading import read_again
from services.chassis.follow.shared_work import SharedLook, SharedReads
from services.registry.core.errors import VersionNotFoundError
from services.registry.core.ports import Reads, Store
from services.registry.core.refs import Ref
from services.registry.core.registry import Registry
from services.registry.core.stored import Head, Stored
from services.registry.core.watching import (
    WHOLE,
    ChangePart,
    Frame,
    Heartbeat,
    NetChange,
    Part,
    Position,
    Reconnect,
    SnapshotPart,
    next_change,
    read_part,
    resume_from,
)
from services.registry.engine.metering import WatchLag
from services.registry.engine.telemetry_names import WATCHERS

T = TypeVar("T")

HEARTBEAT_S = 10.0
# Of parts, cached while any stream reads.
SHARED_BYTES = 8 * 1024 * 1024
# Roughly: an id, hashes and times.
_ITEM_BYTES = 256


class SnapshotStreams:
    """The streams of the registry.

    Args:
        channel: Notified for every new version.
    """

    def __init__(
        self,
        store: Store,
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
                    raise await self._not_found(facts.version)
                resources = tuple(one for one in piece.part.items if isinstance(one, Stored))
                last = piece.part.next_after is None
                yield SnapshotPart(facts, piece.number, last, resources)

    async def watch(self, has: Position) -> AsyncGenerator[Frame, None]:
        """Net changes since the version the watcher has, until the server drains."""
        with WATCHERS.one_more(), self._notifier.signal(self._channel) as signal:
            resumed = partial(_resumed, has=has)
            sent = await self._patient(partial(self._store.read, resumed))
            feed = follow(
                lambda _cursor: self._pending(sent),
                signal,
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
        return (await self._patient(self._head)).incarnation

    async def _patient(self, read: Callable[[], Awaitable[T]]) -> T:
        return await read_again(read, self._clock, self._drain)

    async def _head(self) -> Head:
        return await self._store.read(lambda reads: reads.head())

    async def _not_found(self, version: int) -> VersionNotFoundError:
        head = await self._patient(self._head)
        return VersionNotFoundError.of(version, head.oldest_version, head.version)

    async def _pending(self, sent: _Sent) -> Page[NetChange]:
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
                                # Half a change is of no use: the whole snapshot follows.
                                sent.version, sent.lineage = WHOLE, ""
                                return
                            yield part
                    sent.version, sent.lineage = change.to_version, change.lineage
                    if sent.live:  # a new watcher is sent old versions, which are no lag
                        await self._lag.shown(change.to_version)
                sent.live = True
            case Idle():
                yield Heartbeat(sent.version)
            case Draining():
                yield Reconnect(sent.version)

    async def _parts(self, change: NetChange) -> AsyncGenerator[ChangePart | None, None]:
        """At least one part, even of an empty snapshot; ends with None when a version is gone."""
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
        """Versions never change: one read serves all streams that need the same part."""
        try:
            read = partial(self._store.read, partial(_read, change=change, after=after))
            return await self._patient(lambda: self._shared.get((change, after), read))
        except _VersionGoneError:
            return None

    @contextmanager
    def _sharing(self) -> Iterator[None]:
        """Cache parts while any stream reads."""
        self._reading += 1
        try:
            yield
        finally:
            self._reading -= 1
            if self._reading == 0:
                self._shared.forget()


class _VersionGoneError(Exception):
    """A version is no longer kept; raised so that it is not cached like a part."""


@dataclass(slots=True)
class _Sent:
    """The last version a watcher was sent completely; ``live`` once it has caught up."""

    version: int
    lineage: str = ""
    live: bool = False


def _resumed(reads: Reads, *, has: Position) -> _Sent:
    head = reads.head()
    lineage = reads.lineage(has.version) or ""
    version = resume_from(head, has, lineage)
    return _Sent(version, lineage if version else "", live=version == head.version)


def _read(reads: Reads, *, change: NetChange, after: Ref | None) -> Part:
    part = read_part(reads, change, after)
    if part is None:
        raise _VersionGoneError
    return part


def _size_bytes(part: Part) -> int:
    bodies = sum(len(item.body) for item in part.items if isinstance(item, Stored))
    return bodies + _ITEM_BYTES * (1 + len(part.items))
