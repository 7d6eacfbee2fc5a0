"""A ring with the newest items of a log, shared by all its followers.

    rings = FeedRings(seq=…, size_bytes=…)                 # one for all logs of a kind

    with rings.joined(log, load) as read, notifier.signal(channel) as signal:
        async with aclosing(follow(read, signal, …)) as feed:

``load`` reads a page from the store; ``read`` returns the same pages with fewer loads. A commit
that wakes 200 followers is loaded once. What a read costs depends on its cursor:

    older than the ring     in the ring     at the end of the ring
    a load of its own       no load         one load, shared by all followers there

A read at the end returns the result of a load that began after the read was called, so it is never
older than without a ring. The ring holds only items that a load returned, so all are committed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from services.chassis.follow.feed import Page
from services.chassis.follow.shared_work import SharedLook

T = TypeVar("T")

Read: TypeAlias = Callable[[int], Awaitable[Page[T]]]

# Before the start of every log; the first read sets where the ring begins.
_BEFORE_ALL = -(1 << 63)


@dataclass(frozen=True, slots=True)
class RingBounds:
    """Limits of the ring of one log.

    Attributes:
        page_items: Most items that one read returns from the ring.
    """

    items: int = 1_024
    size_bytes: int = 1024 * 1024
    page_items: int = 64


class FeedRings(Generic[T]):
    """The rings of all followed logs; a ring is dropped when its last follower leaves.

    Args:
        seq: Returns the sequence number of an item.
        size_bytes: Returns the memory that an item takes.
    """

    def __init__(
        self,
        *,
        seq: Callable[[T], int],
        size_bytes: Callable[[T], int],
        bounds: RingBounds | None = None,
    ) -> None:
        self._seq = seq
        self._size_bytes = size_bytes
        self._bounds = bounds or RingBounds()
        self._rings: dict[Hashable, _Ring[T]] = {}

    def __len__(self) -> int:
        """Return how many logs are followed."""
        return len(self._rings)

    @contextmanager
    def joined(self, log: Hashable, load: Read[T]) -> Iterator[Read[T]]:
        """Yield the ``read`` function for one follower of ``log``.

        Args:
            log: Key of the log; two calls with one key must have equivalent ``load`` functions.
            load: Reads the committed items after an exclusive cursor.
        """
        ring = self._rings.get(log)
        if ring is None:
            ring = self._rings[log] = _Ring(self._seq, self._size_bytes, self._bounds)
        ring.followers += 1
        try:
            yield partial(ring.read, load)
        finally:
            ring.followers -= 1
            if ring.followers == 0:
                del self._rings[log]


@dataclass(frozen=True, slots=True)
class _Loaded(Generic[T]):
    """The page that a load after ``base`` returned."""

    base: int
    page: Page[T]


class _Ring(Generic[T]):
    """All items of a log after ``_floor``, up to and including ``_head``."""

    def __init__(
        self, seq: Callable[[T], int], size_bytes: Callable[[T], int], bounds: RingBounds
    ) -> None:
        self.followers = 0
        self._seq = seq
        self._size_bytes = size_bytes
        self._bounds = bounds
        self._look: SharedLook[_Loaded[T]] = SharedLook()
        self._items: list[T] = []
        self._seqs: list[int] = []
        self._bytes = 0
        self._floor = self._head = _BEFORE_ALL
        self._finished = False

    async def read(self, load: Read[T], cursor: int) -> Page[T]:
        if cursor - self._head > self._bounds.items:
            self._begin_at(cursor)  # the ring is too far behind to reach this cursor
        while cursor >= self._floor:
            if cursor < self._head:
                return self._kept(cursor)
            if cursor == self._head and self._finished:
                return Page((), cursor, finished=True, more=False)
            loaded = await self._look(partial(self._advance, load))
            if loaded.base == cursor:
                return loaded.page
            if loaded.page.cursor == loaded.base and loaded.base < cursor:
                break  # the cursor is past the end of the log: let ``load`` decide
        return await load(cursor)

    async def _advance(self, load: Read[T]) -> _Loaded[T]:
        base = self._head
        page = await load(base)
        if self._head == base:
            self._keep(page)
        return _Loaded(base, page)

    def _begin_at(self, cursor: int) -> None:
        self._floor = self._head = cursor
        self._finished = False
        self._items, self._seqs, self._bytes = [], [], 0

    def _kept(self, cursor: int) -> Page[T]:
        start = bisect_right(self._seqs, cursor)
        stop = start + self._bounds.page_items
        items = self._items[start:stop]
        if stop < len(self._items):
            return Page(items, self._seqs[stop - 1])
        return Page(items, self._head, finished=self._finished)

    def _keep(self, page: Page[T]) -> None:
        self._items += page.items
        self._seqs += map(self._seq, page.items)
        self._bytes += sum(map(self._size_bytes, page.items))
        self._head, self._finished = page.cursor, page.finished
        self._trim()

    def _trim(self) -> None:
        # A single follower needs no ring: it has received what it loaded.
        most = self._bounds.items if self.followers > 1 else 0
        count = max(0, len(self._items) - most)
        left_bytes = self._bytes - sum(map(self._size_bytes, self._items[:count]))
        while left_bytes > self._bounds.size_bytes:
            left_bytes -= self._size_bytes(self._items[count])
            count += 1
        if count:
            self._floor = self._seqs[count - 1] if count < len(self._items) else self._head
            del self._items[:count], self._seqs[:count]
            self._bytes = left_bytes
