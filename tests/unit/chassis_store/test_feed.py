"""Following a log: everything, in order, once; heartbeats, drains and lost notifications."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Set
from contextlib import AsyncExitStack, aclosing

import pytest
import pytest_asyncio

from services.chassis import failpoints
from services.chassis.drain import Drain
from services.chassis.failpoints import FailpointError
from services.chassis.follow.feed import Draining, Idle, Items, Page, follow
from services.chassis.follow.feed_ring import Read
from services.chassis.follow.notifier import LocalNotifier
from tests.support.clock import ManualClock

Frame = Items[int] | Idle | Draining


class Log:
    """A log of integers that are their own sequences, read three at a time."""

    def __init__(
        self,
        head: int = 0,
        hidden: Set[int] = frozenset(),
        *,
        finished: bool = False,
        draining: bool = False,
    ) -> None:
        self.clock = ManualClock()
        self.notifier = LocalNotifier(self.clock)
        self.drain = Drain()
        if draining:
            self.drain.start()
        self.head = head
        self.finished = finished
        self.hidden = set(hidden)
        self.reads: list[int] = []
        self.stack = AsyncExitStack()

    def append(self, count: int = 1, *, notify: bool = True) -> None:
        self.head += count
        if notify:
            self.notifier.notify("log")

    async def read(self, after: int) -> Page[int]:
        self.reads.append(after)
        await asyncio.sleep(0)  # another task may append between the cursor and the answer
        last = min(after + 3, self.head)
        return Page(self.shown(after, last), last, finished=self.finished and last == self.head)

    def shown(self, after: int, last: int) -> list[int]:
        return [seq for seq in range(after + 1, last + 1) if seq not in self.hidden]

    def stream(self, read: Read[int], after: int = 0) -> AsyncGenerator[Frame, None]:
        """Followed with ``read``, until the log is closed."""
        signal = self.stack.enter_context(self.notifier.signal("log"))
        return follow(read, signal, after=after, drain=self.drain, clock=self.clock)

    def follower(self, after: int = 0, read: Read[int] | None = None) -> Follower:
        """Runs from the next turn on, until the log is closed."""
        follower = Follower(self.stream(read or self.read, after))
        self.stack.push_async_callback(follower.close)
        return follower

    async def settled(self, after: int = 0) -> Follower:
        """A follower that has taken what is there."""
        follower = self.follower(after)
        await settle()
        return follower

    async def close(self) -> None:
        await self.stack.aclose()


class Follower:
    """Takes frames as they come, as a handler with a fast peer does."""

    def __init__(self, stream: AsyncIterator[Frame]) -> None:
        self.frames: list[Frame] = []
        self.ended = False
        self._stream = stream
        self._task = asyncio.ensure_future(self._take())

    async def _take(self) -> None:
        async for frame in self._stream:
            self.frames.append(frame)
        self.ended = True

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def items(self) -> list[int]:
        return [item for frame in self.frames if isinstance(frame, Items) for item in frame.items]


async def settle() -> None:
    """Give every task the turns it can use before it waits for something."""
    for _ in range(30):
        await asyncio.sleep(0)


@pytest_asyncio.fixture
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    opened = Log(**getattr(request, "param", {}))
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("log", "after", "frames", "ended"),
    [
        ({"head": 7}, 0, [Items([1, 2, 3], 3), Items([4, 5, 6], 6), Items([7], 7)], False),
        ({"head": 3}, 2, [Items([3], 3)], False),
        # A filter may hide whole pages; what lies behind them must not wait for a poll.
        ({"head": 8, "hidden": {1, 2, 3, 4, 5, 6}}, 0, [Items([7, 8], 8)], False),
        ({"head": 9, "draining": True}, 4, [Draining(4)], True),
        ({"head": 4, "finished": True}, 0, [Items([1, 2, 3], 3), Items([4], 4)], True),
        ({"head": 2, "finished": True}, 2, [], True),
    ],
    ids=[
        "page by page",
        "after is exclusive",
        "a page of which nothing is shown does not end the reading",
        "a drain does not wait for the end of a backlog",
        "a finished subject replays and ends",
        "a subject that finished without a word ends at once",
    ],
    indirect=["log"],
)
async def test_a_follower_reads_what_is_there(
    log: Log, after: int, frames: list[Frame], ended: bool
) -> None:
    follower = await log.settled(after)
    assert follower.frames == frames
    assert follower.ended is ended


async def test_what_is_appended_later_wakes_the_follower(log: Log) -> None:
    follower = await log.settled()
    assert follower.frames == []
    log.append(2)
    await settle()
    assert follower.items == [1, 2]


async def test_a_notification_during_a_read_is_not_lost(log: Log) -> None:
    """The read may have looked before the commit that notifies."""
    follower = log.follower()
    await asyncio.sleep(0)
    assert log.reads == [0]
    log.append()
    await settle()
    assert follower.items == [1]


async def test_a_lost_notification_costs_a_poll_and_nothing_else(log: Log) -> None:
    follower = await log.settled()
    log.append(notify=False)
    await settle()
    assert follower.items == []

    log.clock.advance(1.2)  # the longest first pause
    await settle()
    assert follower.items == [1]


async def test_an_idle_follower_polls_less_and_less_often(log: Log) -> None:
    """Thousands of idle followers must cost next to nothing."""
    follower = log.follower()
    for _ in range(600):
        await settle()
        log.clock.advance(0.1)
    assert follower.items == []
    # Once a second would be 60 reads; five seconds apart it is about 12, and the first few.
    assert 12 <= len(log.reads) <= 25


async def test_an_idle_follower_sends_heartbeats_with_its_high_water_mark(log: Log) -> None:
    # given a log whose newest entries the reader filters out
    log.append(5)
    log.hidden = {4, 5}
    follower = log.follower()

    # when 25 s pass
    for _ in range(250):
        await settle()
        log.clock.advance(0.1)

    # then there were two heartbeats, at what has been looked at
    assert follower.frames == [Items([1, 2, 3], 3), Idle(5), Idle(5)]


async def test_items_put_the_heartbeat_off(log: Log) -> None:
    follower = log.follower()
    for _ in range(3):
        await settle()
        log.clock.advance(9)
        log.append()
    await settle()
    assert follower.items == [1, 2, 3]
    assert Idle(3) not in follower.frames


async def test_a_drain_ends_a_waiting_follower_with_its_cursor(log: Log) -> None:
    log.append(2)
    follower = await log.settled()
    log.drain.start()
    await settle()
    assert follower.frames == [Items([1, 2], 2), Draining(2)]
    assert follower.ended


async def test_a_follower_that_leaves_leaves_nothing_behind(log: Log) -> None:
    """The fixture that every test has would find a task."""
    await log.settled()
    await log.close()
    assert log.notifier._signals == {}


async def test_nothing_is_read_ahead_of_a_slow_peer(log: Log) -> None:
    """Back-pressure: while a frame is being written, nothing is queued for it."""
    log.append(100)
    async with aclosing(log.stream(log.read)) as stream:
        assert await anext(stream) == Items([1, 2, 3], 3)
        await settle()
        assert log.reads == [0]


async def test_a_long_way_through_hidden_entries_is_not_silent(log: Log) -> None:
    log.append(9)
    log.hidden = set(range(1, 10))
    follower = log.follower()
    await asyncio.sleep(0)
    assert log.reads == [0]
    log.clock.advance(10)
    await settle()
    assert follower.frames == [Idle(3)]


@pytest.mark.parametrize("place", failpoints.names("feed."))
async def test_a_stream_that_breaks_is_resumed_at_its_cursor(log: Log, place: str) -> None:
    # given a stream that breaks at its second look
    log.append(7)
    with failpoints.armed(f"{place}=error@2"):
        stream = log.stream(log.read)
        first = await anext(stream)
        with pytest.raises(FailpointError):
            await anext(stream)

    # when it is taken up again
    follower = await log.settled(after=first.cursor)

    # then nothing is missing and nothing comes twice
    assert first == Items([1, 2, 3], 3)
    assert follower.items == [4, 5, 6, 7]
