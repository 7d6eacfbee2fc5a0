"""Work that many wait for and one does.

    SharedLook    what is there now?         answered by a look that began after the question
    SharedReads   what is there for ever?    answered by whoever read it, while it is remembered

Whoever comes first works in its own task; when that is cancelled, one of those who wait takes over.
An error is everybody's: they asked for the same.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Done(Generic[T]):
    value: T


class _Work(Generic[T]):
    """One piece of work, done by whoever made it."""

    __slots__ = ("_outcome",)

    def __init__(self) -> None:
        # None: given up half-way.
        self._outcome: asyncio.Future[_Done[T] | Exception | None]
        self._outcome = asyncio.get_running_loop().create_future()

    async def do(self, work: Callable[[], Awaitable[T]]) -> T:
        outcome: _Done[T] | Exception | None = None
        try:
            value = await work()
        except Exception as error:
            outcome = error
            raise
        else:
            outcome = _Done(value)
            return value
        finally:
            self._outcome.set_result(outcome)

    async def over(self) -> None:
        """Return once it is, whatever came of it."""
        # Those who wait come and go; none of them may cancel it for the others.
        await asyncio.shield(self._outcome)

    async def done(self) -> _Done[T] | None:
        """What came of it; None when it was given up, so that somebody else has to do it."""
        outcome = await asyncio.shield(self._outcome)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class SharedLook(Generic[T]):
    """Looks at something that changes, once for all who ask at a time.

    An answer is never older than the question: whoever asks while a look is under way, which may
    miss what made it ask, shares the next one.
    """

    def __init__(self) -> None:
        self._under_way: _Work[T] | None = None
        self._next: _Work[T] | None = None

    async def __call__(self, look: Callable[[], Awaitable[T]]) -> T:
        """What was found by a look that began after this call.

        Args:
            look: Run unless somebody else's is; whoever shares a ``SharedLook`` looks at the same.
        """
        while self._next is not None:
            done = await self._next.done()
            if done is not None:
                return done.value
        mine: _Work[T] = _Work()
        self._next = mine
        try:
            return await mine.do(lambda: self._in_turn(mine, look))
        finally:
            if self._next is mine:
                self._next = None
            if self._under_way is mine:
                self._under_way = None

    async def _in_turn(self, mine: _Work[T], look: Callable[[], Awaitable[T]]) -> T:
        # Whoever was woken by the same ring asks in the same turn of the loop.
        await asyncio.sleep(0)
        if self._under_way is not None:
            await self._under_way.over()
        self._next, self._under_way = None, mine
        return await look()


class SharedReads(Generic[K, T]):
    """Reads what never changes, once for all who need it at about the same time.

    Args:
        max_bytes: Of all that is remembered; what was used longest ago is forgotten first.
        size_bytes: What remembering a value costs.
    """

    def __init__(self, *, max_bytes: int, size_bytes: Callable[[T], int]) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = size_bytes
        self._bytes = 0
        self._known: OrderedDict[K, T] = OrderedDict()
        self._under_way: dict[K, _Work[T]] = {}

    async def get(self, key: K, read: Callable[[], Awaitable[T]]) -> T:
        """The value of ``key``, as ``read`` answers it."""
        while key not in self._known:
            work = self._under_way.get(key)
            if work is None:
                return await self._read(key, read)
            done = await work.done()
            if done is not None:
                return done.value
        self._known.move_to_end(key)
        return self._known[key]

    def forget(self) -> None:
        """Remember nothing; what is under way is still shared."""
        self._known.clear()
        self._bytes = 0

    async def _read(self, key: K, read: Callable[[], Awaitable[T]]) -> T:
        work = self._under_way[key] = _Work()
        try:
            value = await work.do(read)
        finally:
            del self._under_way[key]
        self._remember(key, value)
        return value

    def _remember(self, key: K, value: T) -> None:
        self._known[key] = value
        self._bytes += self._size_bytes(value)
        while self._bytes > self._max_bytes:
            _, forgotten = self._known.popitem(last=False)
            self._bytes -= self._size_bytes(forgotten)
