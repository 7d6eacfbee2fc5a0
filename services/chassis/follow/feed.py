"""Following a log with a cursor and a notification instead of a queue per subscriber.

A stream handler reads the items after its cursor, writes them to the stream, and repeats. It
buffers nothing while it writes: the next read finds newer items, and HTTP/2 flow control slows it.

    with notifier.signal(channel) as signal:
        async with aclosing(follow(read, signal, after=0, drain=drain, clock=clock)) as feed:
            async for item in feed:
                match item: case Items(): … case Idle(): … case Draining(): …

Open the signal first, so that a commit after the first read sets it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from services.chassis.clock import Clock
from services.chassis.errors import StoreUnavailableError
from services.chassis.failpoints import failpoint
from services.chassis.follow.notifier import Signal
from services.chassis.follow.rereading import DrainSignal, read_again
from services.chassis.observe.metrics import Counter, UpDownCounter
from services.chassis.observe.names import FEED_FOLLOWERS, FEED_HEARTBEATS

T = TypeVar("T")

# The pause between polls of an idle follower grows up to this multiple of ``poll_s``.
_SLOWEST_POLL = 5.0
_POLL_JITTER = 0.2

FOLLOWERS = UpDownCounter(FEED_FOLLOWERS, "{follower}", "Streams that follow a log.")
HEARTBEATS = Counter(
    FEED_HEARTBEATS, "{heartbeat}", "Heartbeats sent on streams without new items."
)

_READING = failpoint("feed.reading")
_READ = failpoint("feed.read")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The result of one read.

    Attributes:
        items: Items in order, without a gap; the reader limits their number.
        cursor: Sequence number up to which the read has looked. With a filter it may be past the
            last item; it is never before the cursor that was passed in.
        finished: No item will ever follow ``cursor``.
        more: Whether items may exist after ``cursor`` now. False lets the follower wait without
            another read; allowed only if the read has seen the end of the log.
    """

    items: Sequence[T]
    cursor: int
    finished: bool = False
    more: bool = True


@dataclass(frozen=True, slots=True)
class Items(Generic[T]):
    """Items to send; ``cursor`` resumes after them."""

    items: Sequence[T]
    cursor: int


@dataclass(frozen=True, slots=True)
class Idle:
    """No item came for ``heartbeat_s``: send the cursor as a heartbeat."""

    cursor: int


@dataclass(frozen=True, slots=True)
class Draining:
    """The server is draining: send ``Reconnect`` with this cursor. It is the last value."""

    cursor: int


async def follow(
    read: Callable[[int], Awaitable[Page[T]]],
    signal: Signal,
    *,
    after: int,
    drain: DrainSignal,
    clock: Clock,
    heartbeat_s: float = 10.0,
    poll_s: float = 1.0,
) -> AsyncGenerator[Items[T] | Idle | Draining, None]:
    """Yield all items after the sequence number ``after``, then new ones as they come.

    Args:
        read: Reads a page after an exclusive cursor; repeated for a while when the store fails.
        signal: Signal of the channel that every commit to the log notifies.
        poll_s: Longest wait for a notification before reading anyway, in case one was lost; grows
            to five times this while nothing comes.

    Raises:
        StoreUnavailableError: The store has failed for 20 s.
    """
    cursor = after
    quiet_until_s = clock.monotonic_s() + heartbeat_s
    pause_s = poll_s
    with FOLLOWERS.one_more(), _notifying(signal, drain):
        while not drain.started:
            _READING.reach()
            page = await _read_unless_draining(partial(read, cursor), clock, drain)
            if page is None:
                break
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
            await signal.wait(min(left_s, _jittered(pause_s)))
            pause_s = min(pause_s * 2, poll_s * _SLOWEST_POLL)
        yield Draining(cursor)


async def _read_unless_draining(
    read: Callable[[], Awaitable[Page[T]]], clock: Clock, drain: DrainSignal
) -> Page[T] | None:
    """The page; None when the store fails while the server drains: the stream ends then anyway."""
    try:
        return await read_again(read, clock, drain)
    except StoreUnavailableError:
        if drain.started:
            return None
        raise


def _jittered(pause_s: float) -> float:
    # Spreads the polls of followers that began together; no secret.
    return pause_s * random.uniform(1 - _POLL_JITTER, 1 + _POLL_JITTER)  # noqa: S311


@contextmanager
def _notifying(signal: Signal, drain: DrainSignal) -> Iterator[None]:
    """Let a drain set ``signal``: one task per follower instead of one per wait."""
    draining = asyncio.ensure_future(drain.wait())
    draining.add_done_callback(lambda done: None if done.cancelled() else signal.notify())
    try:
        yield
    finally:
        draining.cancel()
