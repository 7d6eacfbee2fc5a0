"""The newest frames of a log, shared by all who follow it.

    rings = FeedRings(seq=…, size_bytes=…)                 # one for all logs of a kind

    with rings.joined(log, load) as read, notifier.bell(channel) as bell:
        async with aclosing(follow(read, bell, …)) as feed:

``load`` reads a page from the store, as ``follow`` would by itself; ``read`` answers the same pages
for fewer loads. A commit that wakes two hundred followers is loaded once:

    behind the ring      in the ring              at its end
    load for oneself     no load                  one load, shared by all who are there

Whoever is at the end always gets what a load found that began after it asked: a ring, a poll and
the commit of another replica are seen as they would be without all this. Nothing is kept that was
not loaded, so nothing is served that is not committed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from services.chassis.feed import Page
from services.chassis.shared_work import SharedLook

T = TypeVar("T")

Read: TypeAlias = Callable[[int], Awaitable[Page[T]]]

# Before every log: the first reader decides where its ring begins.
_NOWHERE = -(1 << 63)


@dataclass(frozen=True, slots=True)
class RingBounds:
    """What is kept of one log while it has several followers.

    Attributes:
        page_items: Most that is answered from the ring at once.
    """

    items: int = 1_024
    size_bytes: int = 1024 * 1024
    page_items: int = 64


class FeedRings(Generic[T]):
    """The rings of all logs that are followed; one is dropped when its last follower leaves.

    Args:
        seq: Of an item in its log.
        size_bytes: What keeping an item costs.
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
        """How many logs are followed."""
        return len(self._rings)

    @contextmanager
    def joined(self, log: Hashable, load: Read[T]) -> Iterator[Read[T]]:
        """A ``read`` for one follower of ``log``.

        Args:
            log: Names everything that the pages of ``load`` depend on but the cursor.
            load: Answers what is committed after an exclusive cursor.
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
class _Found(Generic[T]):
    """What a load after ``base`` answered."""

    base: int
    page: Page[T]


class _Ring(Generic[T]):
    """All there is in the log after ``_floor`` up to ``_head``."""

    def __init__(
        self, seq: Callable[[T], int], size_bytes: Callable[[T], int], bounds: RingBounds
    ) -> None:
        self.followers = 0
        self._seq = seq
        self._size_bytes = size_bytes
        self._bounds = bounds
        self._look: SharedLook[_Found[T]] = SharedLook()
        self._items: list[T] = []
        self._seqs: list[int] = []
        self._bytes = 0
        self._floor = self._head = _NOWHERE
        self._finished = False

    async def read(self, load: Read[T], cursor: int) -> Page[T]:
        if cursor - self._head > self._bounds.items:
            self._begin_at(cursor)  # nobody who is so far ahead would ever be served from it
        while cursor >= self._floor:
            if cursor < self._head:
                return self._kept(cursor)
            if cursor == self._head and self._finished:
                return Page((), cursor, finished=True, more=False)
            found = await self._look(partial(self._advance, load))
            if found.base == cursor:
                return found.page
            if found.page.cursor == found.base and found.base < cursor:
                break  # there is no such place in the log: not for the ring to judge
        return await load(cursor)

    async def _advance(self, load: Read[T]) -> _Found[T]:
        base = self._head
        page = await load(base)
        if self._head == base:
            self._keep(page)
        return _Found(base, page)

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
        # A single follower has had what it loaded: most logs have no other.
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
