"""However commits, lost rings, loads and readers interleave: each reads its log, and few load."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.chassis.drain import Drain
from services.chassis.feed import Items, Page, follow
from services.chassis.feed_ring import FeedRings, RingBounds
from services.chassis.notifier import LocalNotifier
from tests.support.clock import ManualClock

T = TypeVar("T")

PAGE = 4
READERS = st.integers(0, 5)


class Reader:
    """A follower whose peer takes one frame at a time, when the machine says so."""

    def __init__(self, machine: RingMachine, after: int) -> None:
        self.after = after
        self.received: list[int] = []
        self._permits = 0
        self._permitted = asyncio.Event()
        self._machine = machine
        self._task = asyncio.ensure_future(self._follow())

    async def _follow(self) -> None:
        at = self._machine
        with at.notifier.bell("log") as bell, at.rings.joined("log", at.load) as read:
            feed = follow(read, bell, after=self.after, drain=Drain(), clock=at.clock)
            async with aclosing(feed):
                async for frame in feed:
                    if isinstance(frame, Items):
                        self.received += frame.items
                        assert frame.cursor >= self.received[-1]
                    await self._sent()

    def permit(self, frames: int) -> None:
        self._permits = frames
        self._permitted.set()

    async def _sent(self) -> None:
        while self._permits == 0:
            self._permitted.clear()
            await self._permitted.wait()
        self._permits -= 1

    async def leave(self) -> None:
        self._task.cancel()
        (ended,) = await asyncio.gather(self._task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


class RingMachine(RuleBasedStateMachine):
    """Six readers of one log that others write, too; entries in ``hidden`` are filtered out."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.notifier = LocalNotifier(self.clock)
        self.committed = 0
        self.hidden: set[int] = set()
        self.loads = 0
        self.lost = False
        self.slow_loads = asyncio.Event()
        self.slow_loads.set()
        bounds = RingBounds(items=6, size_bytes=50, page_items=3)
        self.rings = FeedRings[int](
            seq=lambda item: item, size_bytes=lambda item: 5 + item % 7, bounds=bounds
        )
        self.readers: list[Reader] = []

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    async def load(self, after: int) -> Page[int]:
        """Sees what is committed when it begins, and may take its time to say so."""
        self.loads += 1
        seen = self.committed
        await self.slow_loads.wait()
        last = max(after, min(after + PAGE, seen))
        items = [seq for seq in range(after + 1, last + 1) if seq not in self.hidden]
        return Page(items, last, more=last < seen)

    async def _turns(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    @initialize()
    def connect(self) -> None:
        async def all_of_them() -> None:
            self.readers = [Reader(self, after=0) for _ in range(6)]

        self._do(all_of_them())

    @rule(count=st.integers(1, 9), ring=st.booleans(), hidden=st.booleans())
    def commit(self, count: int, ring: bool, hidden: bool) -> None:
        if hidden:
            self.hidden |= set(range(self.committed + 1, self.committed + count + 1, 2))
        self.committed += count
        if ring:
            self.notifier.ring("log")
        else:
            self.lost = True

    @rule(turns=st.integers(0, 9))
    def let_it_run(self, turns: int) -> None:
        self._do(self._turns(turns))

    @rule(reader=READERS, frames=st.integers(1, 4))
    def take(self, reader: int, frames: int) -> None:
        self.readers[reader].permit(frames)
        self._do(self._turns(3))

    @rule(reader=READERS, back=st.integers(0, 12), newest=st.booleans())
    def leave_and_come_back(self, reader: int, back: int, newest: bool) -> None:
        async def again() -> None:
            old = self.readers[reader]
            await old.leave()
            self.check(old)
            # what it has sent already is sent again, as after a lost connection; or it skips
            seen = old.received[-1] if old.received else old.after
            seen = self.committed if newest else seen
            self.readers[reader] = Reader(self, max(0, seen - back))

        self._do(again())

    @rule(early=READERS, late=READERS)
    def read_while_a_load_is_under_way_that_missed_a_commit(self, early: int, late: int) -> None:
        self.slow_loads.clear()
        self.take(early, 1)
        self._do(self._turns(9))
        self.commit(1, ring=True, hidden=False)
        self.take(late, 1)
        self._do(self._turns(9))

    @rule()
    def hold_the_store_up(self) -> None:
        self.slow_loads.clear()

    @rule()
    def let_the_store_go_on(self) -> None:
        self.slow_loads.set()
        self._do(self._turns(5))

    @rule(seconds=st.sampled_from([0.1, 1.2, 6.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self._do(self._turns(3))

    @rule()
    def read_to_the_end(self) -> None:
        """Without a ring that got lost, nobody has to wait for a poll."""
        self._do(self._caught_up())
        if not self.lost:
            self.nothing_is_owed()

    async def _caught_up(self) -> None:
        self.slow_loads.set()
        for reader in self.readers:
            reader.permit(1_000)
        await self._turns(400)
        for reader in self.readers:
            reader.permit(0)

    def nothing_is_owed(self) -> None:
        assert [each.received for each in self.readers] == [self.owed(r) for r in self.readers]

    def owed(self, reader: Reader) -> list[int]:
        every = range(reader.after + 1, self.committed + 1)
        return [seq for seq in every if seq not in self.hidden]

    def check(self, reader: Reader) -> None:
        assert reader.received == self.owed(reader)[: len(reader.received)]

    @invariant()
    def nothing_is_missing_twice_or_uncommitted(self) -> None:
        for reader in self.readers:
            self.check(reader)

    async def _polled(self) -> None:
        for _ in range(3):  # makes up for every ring that got lost
            await self._caught_up()
            self.clock.advance(6.0)
        await self._caught_up()

    async def _count_loads_of_one_commit(self) -> int:
        self.loads = 0
        self.committed += 1
        self.notifier.ring("log")
        await self._caught_up()
        return self.loads

    async def _end(self) -> None:
        for reader in self.readers:
            await reader.leave()
        assert len(self.rings) == 0

    def teardown(self) -> None:
        if self.readers:
            self._do(self._polled())
            self.nothing_is_owed()
            # all six are at the end: one load serves them
            assert self._do(self._count_loads_of_one_commit()) == 1
            self.nothing_is_owed()
            self._do(self._end())
        self.loop.close()


TestRing = RingMachine.TestCase
