"""The shared ring: the same pages as from the store, for fewer loads."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, aclosing

import pytest

from services.chassis.drain import Drain
from services.chassis.feed import Items, Page, follow
from services.chassis.feed_ring import FeedRings, Read, RingBounds
from services.chassis.notifier import LocalNotifier
from tests.support.clock import ManualClock
from tests.unit.chassis_store.test_feed import Follower, settle

BOUNDS = RingBounds(items=8, size_bytes=100, page_items=3)


class Rig:
    """A log of integers that are their own sequences, loaded four at a time, and its ring."""

    def __init__(self, bounds: RingBounds = BOUNDS) -> None:
        self.clock = ManualClock()
        self.notifier = LocalNotifier(self.clock)
        self.head = 0
        self.finished = False
        self.hidden: set[int] = set()
        self.loads: list[int] = []
        self.through = asyncio.Event()
        self.through.set()
        self.stack = ExitStack()
        self.rings = FeedRings[int](seq=lambda item: item, size_bytes=lambda _: 10, bounds=bounds)

    def append(self, count: int = 1, *, ring: bool = True) -> None:
        self.head += count
        if ring:
            self.notifier.ring("log")

    async def load(self, after: int) -> Page[int]:
        self.loads.append(after)
        last = min(after + 4, self.head)
        items = [seq for seq in range(after + 1, last + 1) if seq not in self.hidden]
        done, more = self.finished and last == self.head, last < self.head
        await self.through.wait()
        return Page(items, max(after, last), finished=done, more=more)

    def join(self) -> Read[int]:
        return self.stack.enter_context(self.rings.joined("log", self.load))

    def leave(self) -> None:
        self.stack.close()

    def follower(self, after: int = 0) -> Follower:
        bell = self.stack.enter_context(self.notifier.bell("log"))
        stream = follow(self.join(), bell, after=after, drain=Drain(), clock=self.clock)
        return Follower(stream)


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_two_hundred_followers_that_a_commit_wakes_load_it_once(rig: Rig) -> None:
    # given
    followers = [rig.follower() for _ in range(200)]
    await settle()
    rig.loads.clear()

    # when
    rig.append(3)
    await settle()

    # then
    assert [each.items for each in followers] == [[1, 2, 3]] * 200
    assert rig.loads == [0]
    for each in followers:
        await each.close()


async def test_one_commit_after_another_costs_one_load_each(rig: Rig) -> None:
    followers = [rig.follower() for _ in range(50)]
    await settle()
    rig.loads.clear()
    for _ in range(10):
        rig.append()
        await settle()
    assert [each.items for each in followers] == [list(range(1, 11))] * 50
    assert rig.loads == list(range(10))
    for each in followers:
        await each.close()


async def test_who_is_within_the_ring_loads_nothing(rig: Rig) -> None:
    # given two, one of whom has read ahead
    rig.append(7)
    fast, slow = rig.join(), rig.join()
    await fast(0)
    await fast(4)
    rig.loads.clear()

    # when the other reads
    first, second, third = await slow(0), await slow(3), await slow(6)

    # then it gets pages of at most three, and the last says nothing of what follows
    assert first == Page([1, 2, 3], 3)
    assert second == Page([4, 5, 6], 6)
    assert third == Page([7], 7)
    assert rig.loads == []


async def test_who_is_behind_the_ring_loads_for_itself(rig: Rig) -> None:
    # given a ring of eight
    rig.append(12)
    fast, slow = rig.join(), rig.join()
    for cursor in (0, 4, 8):
        await fast(cursor)
    rig.loads.clear()

    # when the other begins at the beginning
    page = await slow(0)

    # then it gets the store's page, and from there on the ring's
    assert page == Page([1, 2, 3, 4], 4, more=True)
    assert await slow(page.cursor) == Page([5, 6, 7], 7)
    assert rig.loads == [0]


async def test_the_ring_is_bounded_by_bytes_too() -> None:
    # given room for three of ten bytes
    rig = Rig(RingBounds(items=100, size_bytes=30, page_items=3))
    rig.append(8)
    fast, slow = rig.join(), rig.join()
    for cursor in (0, 4):
        await fast(cursor)
    rig.loads.clear()

    # then
    assert await slow(5) == Page([6, 7, 8], 8)
    assert (await slow(4)).items == [5, 6, 7, 8]
    assert rig.loads == [4]


async def test_a_single_follower_keeps_nothing(rig: Rig) -> None:
    rig.append(4)
    alone = rig.join()
    await alone(0)
    late = rig.join()
    rig.loads.clear()
    assert (await late(0)).items == [1, 2, 3, 4]
    assert rig.loads == [0]


async def test_a_commit_during_a_load_is_found_by_who_was_woken_by_it(rig: Rig) -> None:
    """That load may have looked before the commit."""
    # given a load under way that has seen nothing
    early, late = rig.join(), rig.join()
    rig.through.clear()
    first = asyncio.ensure_future(early(0))
    await settle()
    assert rig.loads == [0]

    # when
    rig.append()
    second = asyncio.ensure_future(late(0))
    await settle()
    rig.through.set()

    # then
    assert await first == Page([], 0, more=False)
    assert await second == Page([1], 1, more=False)


async def test_a_poll_finds_what_nobody_rang_for(rig: Rig) -> None:
    """Another replica writes; its notifications may be lost."""
    follower = rig.follower()
    await settle()
    rig.append(ring=False)
    rig.clock.advance(1.2)
    await settle()
    assert follower.items == [1]
    await follower.close()


async def test_a_follower_far_ahead_takes_the_ring_along(rig: Rig) -> None:
    # given one that replays from the beginning
    rig.append(100)
    old, new = rig.join(), rig.join()
    await old(0)

    # when another is at the end
    assert await new(100) == Page([], 100, more=False)
    rig.append(2)
    assert (await new(100)).items == [101, 102]
    rig.loads.clear()

    # then the ring is where the newest frames are
    assert await old(100) == Page([101, 102], 102)
    assert rig.loads == []
    assert (await old(4)).items == [5, 6, 7, 8]


async def test_a_follower_a_little_ahead_waits_for_the_ring_to_get_there(rig: Rig) -> None:
    rig.append(9)
    one, other = rig.join(), rig.join()
    await one(0)
    assert await other(9) == Page([], 9, more=False)
    rig.loads.clear()
    assert await one(4) == Page([5, 6, 7], 7)
    assert rig.loads == []


async def test_a_cursor_beyond_the_log_is_left_to_the_store(rig: Rig) -> None:
    rig.append(2)
    read = rig.join()
    await read(0)
    assert await read(5) == Page([], 5, more=False)
    assert rig.loads[-1] == 5


async def test_what_the_reader_filters_out_is_passed_over(rig: Rig) -> None:
    rig.append(8)
    rig.hidden = {2, 3, 7, 8}
    fast, slow = rig.join(), rig.join()
    for cursor in (0, 4):
        await fast(cursor)
    assert await slow(1) == Page([4, 5, 6], 8)


async def test_a_log_that_is_finished_is_not_looked_at_again(rig: Rig) -> None:
    rig.append(2)
    rig.finished = True
    one, other = rig.join(), rig.join()
    assert await one(0) == Page([1, 2], 2, finished=True, more=False)
    assert await other(0) == Page([1, 2], 2, finished=True)
    assert await other(2) == Page((), 2, finished=True, more=False)
    assert rig.loads == [0]


async def test_the_ring_goes_with_its_last_follower(rig: Rig) -> None:
    with rig.rings.joined("log", rig.load) as read:
        with rig.rings.joined("log", rig.load):
            await read(0)
        assert len(rig.rings) == 1
    assert len(rig.rings) == 0


async def test_logs_do_not_mix(rig: Rig) -> None:
    rig.append(2)
    with rig.rings.joined(("a", "log"), rig.load) as one, rig.rings.joined("log", rig.load) as two:
        await one(0)
        await two(0)
    assert rig.loads == [0, 0]


async def test_a_page_that_reached_the_end_spares_the_look_before_waiting(rig: Rig) -> None:
    rig.append(3)
    with rig.notifier.bell("log") as bell:
        stream = follow(rig.load, bell, after=0, drain=Drain(), clock=rig.clock)
        async with aclosing(stream):
            follower = Follower(stream)
            await settle()
            assert follower.frames == [Items([1, 2, 3], 3)]
            assert rig.loads == [0]

            # and what comes while it is being sent is not missed
            rig.append()
            await settle()
            assert follower.items == [1, 2, 3, 4]
            await follower.close()


async def test_what_was_loaded_before_the_ring_moved_on_is_not_kept(rig: Rig) -> None:
    # given a load under way at the beginning
    rig.append(100)
    old, new = rig.join(), rig.join()
    rig.through.clear()
    first = asyncio.ensure_future(old(0))
    await settle()

    # when another takes the ring along to the end
    second = asyncio.ensure_future(new(100))
    await settle()
    rig.through.set()

    # then both get what they asked for, and the ring is at the end
    assert (await first).items == [1, 2, 3, 4]
    assert await second == Page([], 100, more=False)
    rig.append(2)
    assert await new(100) == Page([101, 102], 102, more=False)
    assert await old(100) == Page([101, 102], 102)
