"""Following a log: a cursor and a wake-up, never a queue per subscriber.

A stream handler reads after its cursor, writes, repeats; while it writes, nothing is held for it.
What comes in meanwhile is found by the next read, and HTTP/2 flow control is the back-pressure.

    with notifier.bell(channel) as bell:
        async with aclosing(follow(read, bell, after=0, drain=drain, clock=clock)) as feed:
            async for item in feed:
                match item: case Items(): … case Idle(): … case Draining(): …

Open the bell first: what is committed before the first read is read, what is committed after it
rings.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from services.chassis.clock import Clock
from services.chassis.failpoints import failpoint
from services.chassis.metrics import Counter, UpDownCounter
from services.chassis.notifier import Bell
from services.chassis.telemetry_names import FEED_FOLLOWERS, FEED_HEARTBEATS

T = TypeVar("T")

# An idle follower looks less and less often for rings that got lost, down to a fifth.
_SLOWEST_POLL = 5.0
_POLL_JITTER = 0.2

FOLLOWERS = UpDownCounter(FEED_FOLLOWERS, "{follower}", "Streams that follow a log.")
HEARTBEATS = Counter(FEED_HEARTBEATS, "{heartbeat}", "Signs of life on streams without news.")

_READING = failpoint("feed.reading")
_READ = failpoint("feed.read")


class DrainSignal(Protocol):
    """The part of ``drain.Drain`` that a follower needs."""

    @property
    def started(self) -> bool: ...

    async def wait(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """What one read found.

    Attributes:
        items: In order, without a gap; bounded by the reader's own limit.
        cursor: Sequence up to which this page has looked; beyond the last item where the reader
            filters, and never before the cursor it was asked for.
        finished: Nothing will ever come after ``cursor``.
        more: Whether something may be there after ``cursor`` already. False spares the follower
            a look before it waits; only for a read that looked at the end after it was called.
    """

    items: Sequence[T]
    cursor: int
    finished: bool = False
    more: bool = True


@dataclass(frozen=True, slots=True)
class Items(Generic[T]):
    """To be sent; ``cursor`` resumes after them."""

    items: Sequence[T]
    cursor: int


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing came for a heartbeat's time: send the high-water mark."""

    cursor: int


@dataclass(frozen=True, slots=True)
class Draining:
    """The server stops: send ``Reconnect`` with this cursor. Nothing follows."""

    cursor: int


async def follow(
    read: Callable[[int], Awaitable[Page[T]]],
    bell: Bell,
    *,
    after: int,
    drain: DrainSignal,
    clock: Clock,
    heartbeat_s: float = 10.0,
    poll_s: float = 1.0,
) -> AsyncGenerator[Items[T] | Idle | Draining, None]:
    """Deliver everything after the sequence ``after``, then what comes.

    Args:
        read: Reads after an exclusive cursor.
        bell: Of the channel that is rung for every commit to the log.
        poll_s: Pause before looking without having been rung, in case a ring got lost; grows to
            five times as much while nothing comes.
    """
    cursor = after
    quiet_until_s = clock.monotonic_s() + heartbeat_s
    pause_s = poll_s
    with FOLLOWERS.one_more(), _ringing(bell, drain):
        while not drain.started:
            _READING.reach()
            page = await read(cursor)
            _READ.reach()
            moved, cursor = page.cursor > cursor, page.cursor
            if page.items:
                yield Items(page.items, cursor)
                quiet_until_s = clock.monotonic_s() + heartbeat_s
                pause_s = poll_s
            if page.finished:
                return
            left_s = quiet_until_s - clock.monotonic_s()
            if left_s <= 0:
                HEARTBEATS.add(1)
                yield Idle(cursor)
                quiet_until_s = clock.monotonic_s() + heartbeat_s
                left_s = heartbeat_s
            if (moved or page.items) and page.more:
                continue
            await bell.wait(min(left_s, _jittered(pause_s)))
            pause_s = min(pause_s * 2, poll_s * _SLOWEST_POLL)
        yield Draining(cursor)


def _jittered(pause_s: float) -> float:
    # Followers that began together must not poll together; predictability is of no concern.
    return pause_s * random.uniform(1 - _POLL_JITTER, 1 + _POLL_JITTER)  # noqa: S311


@contextmanager
def _ringing(bell: Bell, drain: DrainSignal) -> Iterator[None]:
    """A drain wakes like a commit; one task for a follower's life, none for each wait."""
    draining = asyncio.ensure_future(drain.wait())
    draining.add_done_callback(lambda done: None if done.cancelled() else bell.ring())
    try:
        yield
    finally:
        draining.cancel()
