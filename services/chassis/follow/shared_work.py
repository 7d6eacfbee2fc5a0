"""Reads that concurrent callers share: one caller runs the read, all get its result.

    SharedLook    values that change          the result of a read that began after the call
    SharedReads   values that never change    the result of any read, cached

The first caller runs the read in its own task. If that task is cancelled, one of the waiting
callers runs it. An error is raised in every waiting caller.
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
    """One piece of work; the task that created it runs it."""

    __slots__ = ("_outcome",)

    def __init__(self) -> None:
        # None: the task was cancelled.
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

    async def ended(self) -> None:
        """Wait for the end of the work, whatever its outcome."""
        # A waiting caller may be cancelled; the shield keeps the future for the others.
        await asyncio.shield(self._outcome)

    async def done(self) -> _Done[T] | None:
        """Wait for the result; None if the work was cancelled and another caller must run it."""
        outcome = await asyncio.shield(self._outcome)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class SharedLook(Generic[T]):
    """Reads a changing value once for all concurrent callers.

    A result is never older than the call: a caller that comes while a read is running shares the
    next one, since the running one may miss the change that caused the call.
    """

    def __init__(self) -> None:
        self._under_way: _Work[T] | None = None
        self._next: _Work[T] | None = None

    async def __call__(self, look: Callable[[], Awaitable[T]]) -> T:
        """Return the result of a read that began after this call.

        Args:
            look: The read; all callers of one ``SharedLook`` must pass equivalent functions.
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
        # Callers that the same notification woke call in the same turn of the loop and join here.
        await asyncio.sleep(0)
        if self._under_way is not None:
            await self._under_way.ended()
        self._next, self._under_way = None, mine
        return await look()


class SharedReads(Generic[K, T]):
    """Reads values that never change, once for all concurrent callers, and caches them.

    Args:
        max_bytes: Size of the cache; the least recently used values are dropped first.
        size_bytes: Returns the memory that a value takes.
    """

    def __init__(self, *, max_bytes: int, size_bytes: Callable[[T], int]) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = size_bytes
        self._bytes = 0
        self._cache: OrderedDict[K, T] = OrderedDict()
        self._under_way: dict[K, _Work[T]] = {}

    async def get(self, key: K, read: Callable[[], Awaitable[T]]) -> T:
        """Return the value of ``key``, from the cache or by ``read``."""
        while key not in self._cache:
            work = self._under_way.get(key)
            if work is None:
                return await self._read(key, read)
            done = await work.done()
            if done is not None:
                return done.value
        self._cache.move_to_end(key)
        return self._cache[key]

    def forget(self) -> None:
        """Empty the cache; running reads are still shared."""
        self._cache.clear()
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
        self._cache[key] = value
        self._bytes += self._size_bytes(value)
        while self._bytes > self._max_bytes:
            _, dropped = self._cache.popitem(last=False)
            self._bytes -= self._size_bytes(dropped)
