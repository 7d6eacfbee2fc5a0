"""Following a log: everything, in order, once; heartbeats, drains and lost rings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.chassis import failpoints
from services.chassis.drain import Drain
from services.chassis.failpoints import FailpointError
from services.chassis.feed import Draining, Idle, Items, Page, follow
from services.chassis.notifier import LocalNotifier
from tests.support.clock import ManualClock

Frame = Items[int] | Idle | Draining


class Log:
    """A log of integers that are their own sequences, read three at a time."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.notifier = LocalNotifier(self.clock)
        self.drain = Drain()
        self.head = 0
        self.closed = False
        self.hidden: set[int] = set()
        self.reads: list[int] = []

    def append(self, count: int = 1, *, ring: bool = True) -> None:
        self.head += count
        if ring:
            self.notifier.ring("log")

    async def read(self, after: int) -> Page[int]:
        self.reads.append(after)
        await asyncio.sleep(0)  # another task may append between the cursor and the answer
        last = min(after + 3, self.head)
        shown = [seq for seq in range(after + 1, last + 1) if seq not in self.hidden]
        return Page(shown, last, finished=self.closed and last == self.head)

    @asynccontextmanager
    async def followed(self, after: int = 0) -> AsyncIterator[Follower]:
        with self.notifier.bell("log") as bell:
            stream = follow(self.read, bell, after=after, drain=self.drain, clock=self.clock)
            follower = Follower(stream)
            try:
                yield follower
            finally:
                await follower.close()


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


async def test_a_follower_reads_what_is_there_page_by_page() -> None:
    log = Log()
    log.append(7)
    async with log.followed() as follower:
        await settle()
        assert follower.frames == [Items([1, 2, 3], 3), Items([4, 5, 6], 6), Items([7], 7)]


async def test_after_is_exclusive() -> None:
    log = Log()
    log.append(3)
    async with log.followed(after=2) as follower:
        await settle()
        assert follower.frames == [Items([3], 3)]


async def test_what_is_appended_later_wakes_the_follower() -> None:
    log = Log()
    async with log.followed() as follower:
        await settle()
        assert follower.frames == []
        log.append(2)
        await settle()
        assert follower.items == [1, 2]


async def test_a_ring_during_a_read_is_not_lost() -> None:
    """The read may have looked before the commit that rings."""
    log = Log()
    async with log.followed() as follower:
        await asyncio.sleep(0)
        assert log.reads == [0]
        log.append()
        await settle()
        assert follower.items == [1]


async def test_a_lost_ring_costs_a_poll_and_nothing_else() -> None:
    log = Log()
    async with log.followed() as follower:
        await settle()
        log.append(ring=False)
        await settle()
        assert follower.items == []

        log.clock.advance(1.2)  # the longest first pause
        await settle()
        assert follower.items == [1]


async def test_an_idle_follower_polls_less_and_less_often() -> None:
    """Thousands of idle followers must cost next to nothing."""
    log = Log()
    async with log.followed() as follower:
        for _ in range(600):
            await settle()
            log.clock.advance(0.1)
        assert follower.items == []
    # Once a second would be 60 reads; five seconds apart it is about 12, and the first few.
    assert 12 <= len(log.reads) <= 25


async def test_an_idle_follower_sends_heartbeats_with_its_high_water_mark() -> None:
    # given a log whose newest entries the reader filters out
    log = Log()
    log.append(5)
    log.hidden = {4, 5}
    async with log.followed() as follower:
        # when 25 s pass
        for _ in range(250):
            await settle()
            log.clock.advance(0.1)

        # then there were two heartbeats, at what has been looked at
        assert follower.frames == [Items([1, 2, 3], 3), Idle(5), Idle(5)]


async def test_items_put_the_heartbeat_off() -> None:
    log = Log()
    async with log.followed() as follower:
        for _ in range(3):
            await settle()
            log.clock.advance(9)
            log.append()
        await settle()
        assert follower.items == [1, 2, 3]
        assert Idle(3) not in follower.frames


async def test_a_drain_ends_a_waiting_follower_with_its_cursor() -> None:
    log = Log()
    log.append(2)
    async with log.followed() as follower:
        await settle()
        log.drain.start()
        await settle()
        assert follower.frames == [Items([1, 2], 2), Draining(2)]
        assert follower.ended


async def test_a_drain_does_not_wait_for_the_end_of_a_backlog() -> None:
    log = Log()
    log.append(9)
    log.drain.start()
    async with log.followed(after=4) as follower:
        await settle()
        assert follower.frames == [Draining(4)]
        assert follower.ended


async def test_a_finished_subject_replays_and_ends() -> None:
    log = Log()
    log.append(4)
    log.closed = True
    async with log.followed() as follower:
        await settle()
        assert follower.frames == [Items([1, 2, 3], 3), Items([4], 4)]
        assert follower.ended


async def test_a_subject_that_finished_without_a_word_ends_at_once() -> None:
    log = Log()
    log.append(2)
    log.closed = True
    async with log.followed(after=2) as follower:
        await settle()
        assert follower.frames == []
        assert follower.ended


async def test_a_follower_that_leaves_leaves_nothing_behind() -> None:
    """The fixture that every test has would find a task."""
    log = Log()
    async with log.followed():
        await settle()
    assert log.notifier._bells == {}


async def test_nothing_is_read_ahead_of_a_slow_peer() -> None:
    """Back-pressure: while a frame is being written, nothing is queued for it."""
    log = Log()
    log.append(100)
    with log.notifier.bell("log") as bell:
        stream = follow(log.read, bell, after=0, drain=log.drain, clock=log.clock)
        assert await anext(stream) == Items([1, 2, 3], 3)
        await settle()
        assert log.reads == [0]
        await stream.aclose()


async def test_a_page_of_which_nothing_is_shown_does_not_end_the_reading() -> None:
    """A filter may hide whole pages; what lies behind them must not wait for a poll."""
    log = Log()
    log.append(8)
    log.hidden = {1, 2, 3, 4, 5, 6}
    async with log.followed() as follower:
        await settle()
        assert follower.frames == [Items([7, 8], 8)]


async def test_a_long_way_through_hidden_entries_is_not_silent() -> None:
    log = Log()
    log.append(9)
    log.hidden = set(range(1, 10))
    async with log.followed() as follower:
        await asyncio.sleep(0)
        assert log.reads == [0]
        log.clock.advance(10)
        await settle()
        assert follower.frames == [Idle(3)]


@pytest.mark.parametrize("place", failpoints.names("feed."))
async def test_a_stream_that_breaks_is_resumed_at_its_cursor(place: str) -> None:
    # given a stream that breaks at its second look
    log = Log()
    log.append(7)
    with failpoints.armed(f"{place}=error@2"), log.notifier.bell("log") as bell:
        stream = follow(log.read, bell, after=0, drain=log.drain, clock=log.clock)
        first = await anext(stream)
        with pytest.raises(FailpointError):
            await anext(stream)

    # when it is taken up again
    async with log.followed(after=first.cursor) as follower:
        await settle()

        # then nothing is missing and nothing comes twice
        assert first == Items([1, 2, 3], 3)
        assert follower.items == [4, 5, 6, 7]
