"""The shared ring: the same pages as from the store, for fewer loads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest_asyncio

from services.chassis.follow.feed import Items, Page
from services.chassis.follow.feed_ring import FeedRings, Read, RingBounds
from tests.unit.chassis_store.test_feed import Follower, Log, settle

BOUNDS = RingBounds(items=8, size_bytes=100, page_items=3)


class RingLog(Log):
    """A log that is loaded four at a time, and its ring."""

    def __init__(
        self, bounds: RingBounds = BOUNDS, size_bytes: Callable[[int], int] = lambda _: 10
    ) -> None:
        super().__init__()
        self.through = asyncio.Event()
        self.through.set()
        self.rings = FeedRings[int](seq=lambda item: item, size_bytes=size_bytes, bounds=bounds)

    async def read(self, after: int) -> Page[int]:
        """Sees what is committed when it begins, and may take its time to say so."""
        self.reads.append(after)
        last = min(after + 4, self.head)
        items = self.shown(after, last)
        finished, more = self.finished and last == self.head, last < self.head
        await self.through.wait()
        return Page(items, max(after, last), finished=finished, more=more)

    def join(self) -> Read[int]:
        return self.stack.enter_context(self.rings.joined("log", self.read))

    async def joined(self, *cursors: int) -> tuple[Read[int], Read[int]]:
        """Two readers, of whom the first has read at ``cursors``; reads count from now on."""
        first, second = self.join(), self.join()
        for cursor in cursors:
            await first(cursor)
        self.reads.clear()
        return first, second

    async def followers(self, count: int) -> list[Follower]:
        """Followers that wait; reads count from now on."""
        waiting = [self.follower(read=self.join()) for _ in range(count)]
        await settle()
        self.reads.clear()
        return waiting


@pytest_asyncio.fixture
async def log() -> AsyncIterator[RingLog]:
    opened = RingLog()
    yield opened
    await opened.close()


async def test_two_hundred_followers_that_a_commit_wakes_load_it_once(log: RingLog) -> None:
    # given
    followers = await log.followers(200)

    # when
    log.append(3)
    await settle()

    # then
    assert [each.items for each in followers] == [[1, 2, 3]] * 200
    assert log.reads == [0]


async def test_one_commit_after_another_costs_one_load_each(log: RingLog) -> None:
    followers = await log.followers(50)
    for _ in range(10):
        log.append()
        await settle()
    assert [each.items for each in followers] == [list(range(1, 11))] * 50
    assert log.reads == list(range(10))


async def test_who_is_within_the_ring_loads_nothing(log: RingLog) -> None:
    # given two, one of whom has read ahead
    log.append(7)
    _, slow = await log.joined(0, 4)

    # when the other reads
    first, second, third = await slow(0), await slow(3), await slow(6)

    # then it gets pages of at most three, and the last says nothing of what follows
    assert first == Page([1, 2, 3], 3)
    assert second == Page([4, 5, 6], 6)
    assert third == Page([7], 7)
    assert log.reads == []


async def test_who_is_behind_the_ring_loads_for_itself(log: RingLog) -> None:
    # given a ring of eight
    log.append(12)
    _, slow = await log.joined(0, 4, 8)

    # when the other begins at the beginning
    page = await slow(0)

    # then it gets the store's page, and from there on the ring's
    assert page == Page([1, 2, 3, 4], 4, more=True)
    assert await slow(page.cursor) == Page([5, 6, 7], 7)
    assert log.reads == [0]


async def test_the_ring_is_bounded_by_bytes_too() -> None:
    # given room for three of ten bytes
    log = RingLog(RingBounds(items=100, size_bytes=30, page_items=3))
    log.append(8)
    _, slow = await log.joined(0, 4)

    # then
    assert await slow(5) == Page([6, 7, 8], 8)
    assert (await slow(4)).items == [5, 6, 7, 8]
    assert log.reads == [4]
    await log.close()


async def test_a_single_follower_keeps_nothing(log: RingLog) -> None:
    log.append(4)
    alone = log.join()
    await alone(0)
    late = log.join()
    log.reads.clear()
    assert (await late(0)).items == [1, 2, 3, 4]
    assert log.reads == [0]


async def test_a_commit_during_a_load_is_found_by_who_was_woken_by_it(log: RingLog) -> None:
    """That load may have looked before the commit."""
    # given a load under way that has seen nothing
    early, late = log.join(), log.join()
    log.through.clear()
    first = asyncio.ensure_future(early(0))
    await settle()
    assert log.reads == [0]

    # when
    log.append()
    second = asyncio.ensure_future(late(0))
    await settle()
    log.through.set()

    # then
    assert await first == Page([], 0, more=False)
    assert await second == Page([1], 1, more=False)


async def test_a_poll_finds_what_nobody_notified(log: RingLog) -> None:
    """Another replica writes; its notifications may be lost."""
    (follower,) = await log.followers(1)
    log.append(notify=False)
    log.clock.advance(1.2)
    await settle()
    assert follower.items == [1]


async def test_a_follower_far_ahead_takes_the_ring_along(log: RingLog) -> None:
    # given one that replays from the beginning
    log.append(100)
    old, new = await log.joined(0)

    # when another is at the end
    assert await new(100) == Page([], 100, more=False)
    log.append(2)
    assert (await new(100)).items == [101, 102]
    log.reads.clear()

    # then the ring is where the newest frames are
    assert await old(100) == Page([101, 102], 102)
    assert log.reads == []
    assert (await old(4)).items == [5, 6, 7, 8]


async def test_a_follower_a_little_ahead_waits_for_the_ring_to_get_there(log: RingLog) -> None:
    log.append(9)
    one, other = await log.joined(0)
    assert await other(9) == Page([], 9, more=False)
    log.reads.clear()
    assert await one(4) == Page([5, 6, 7], 7)
    assert log.reads == []


async def test_a_cursor_beyond_the_log_is_left_to_the_store(log: RingLog) -> None:
    log.append(2)
    read = log.join()
    await read(0)
    assert await read(5) == Page([], 5, more=False)
    assert log.reads[-1] == 5


async def test_what_the_reader_filters_out_is_passed_over(log: RingLog) -> None:
    log.append(8)
    log.hidden = {2, 3, 7, 8}
    _, slow = await log.joined(0, 4)
    assert await slow(1) == Page([4, 5, 6], 8)


async def test_a_log_that_is_finished_is_not_looked_at_again(log: RingLog) -> None:
    log.append(2)
    log.finished = True
    one, other = log.join(), log.join()
    assert await one(0) == Page([1, 2], 2, finished=True, more=False)
    assert await other(0) == Page([1, 2], 2, finished=True)
    assert await other(2) == Page((), 2, finished=True, more=False)
    assert log.reads == [0]


async def test_the_ring_goes_with_its_last_follower(log: RingLog) -> None:
    with log.rings.joined("log", log.read) as read:
        with log.rings.joined("log", log.read):
            await read(0)
        assert len(log.rings) == 1
    assert len(log.rings) == 0


async def test_logs_do_not_mix(log: RingLog) -> None:
    log.append(2)
    with log.rings.joined(("a", "log"), log.read) as one, log.rings.joined("log", log.read) as two:
        await one(0)
        await two(0)
    assert log.reads == [0, 0]


async def test_a_page_that_reached_the_end_spares_the_look_before_waiting(log: RingLog) -> None:
    log.append(3)
    follower = await log.settled()
    assert follower.frames == [Items([1, 2, 3], 3)]
    assert log.reads == [0]

    # and what comes while it is being sent is not missed
    log.append()
    await settle()
    assert follower.items == [1, 2, 3, 4]


async def test_what_was_loaded_before_the_ring_moved_on_is_not_kept(log: RingLog) -> None:
    # given a load under way at the beginning
    log.append(100)
    old, new = log.join(), log.join()
    log.through.clear()
    first = asyncio.ensure_future(old(0))
    await settle()

    # when another takes the ring along to the end
    second = asyncio.ensure_future(new(100))
    await settle()
    log.through.set()

    # then both get what they asked for, and the ring is at the end
    assert (await first).items == [1, 2, 3, 4]
    assert await second == Page([], 100, more=False)
    log.append(2)
    assert await new(100) == Page([101, 102], 102, more=False)
    assert await old(100) == Page([101, 102], 102)
