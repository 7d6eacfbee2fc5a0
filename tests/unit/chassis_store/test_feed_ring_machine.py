"""Any order of commits, lost notifications, loads and readers: each reads its log, few load."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.chassis.follow.feed import Items, follow
from services.chassis.follow.feed_ring import RingBounds
from tests.unit.chassis_store.test_feed_ring import RingLog

pytestmark = pytest.mark.slow

T = TypeVar("T")

READERS = st.integers(0, 5)


class Reader:
    """A follower whose peer takes one frame at a time, when the machine says so."""

    def __init__(self, log: RingLog, after: int) -> None:
        self.after = after
        self.received: list[int] = []
        self._permits = 0
        self._permitted = asyncio.Event()
        self._log = log
        self._task = asyncio.ensure_future(self._follow())

    async def _follow(self) -> None:
        log = self._log
        with log.notifier.signal("log") as signal, log.rings.joined("log", log.read) as read:
            feed = follow(read, signal, after=self.after, drain=log.drain, clock=log.clock)
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
        bounds = RingBounds(items=6, size_bytes=50, page_items=3)
        self.log = RingLog(bounds, size_bytes=lambda item: 5 + item % 7)
        self.lost = False
        self.readers: list[Reader] = []

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    async def _turns(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    @initialize()
    def connect(self) -> None:
        async def all_of_them() -> None:
            self.readers = [Reader(self.log, after=0) for _ in range(6)]

        self._do(all_of_them())

    @rule(count=st.integers(1, 9), notify=st.booleans(), hidden=st.booleans())
    def commit(self, count: int, notify: bool, hidden: bool) -> None:
        if hidden:
            self.log.hidden |= set(range(self.log.head + 1, self.log.head + count + 1, 2))
        self.log.append(count, notify=notify)
        self.lost |= not notify

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
            seen = self.log.head if newest else seen
            self.readers[reader] = Reader(self.log, max(0, seen - back))

        self._do(again())

    @rule(early=READERS, late=READERS)
    def read_while_a_load_is_under_way_that_missed_a_commit(self, early: int, late: int) -> None:
        self.log.through.clear()
        self.take(early, 1)
        self._do(self._turns(9))
        self.commit(1, notify=True, hidden=False)
        self.take(late, 1)
        self._do(self._turns(9))

    @rule()
    def hold_the_store_up(self) -> None:
        self.log.through.clear()

    @rule()
    def let_the_store_go_on(self) -> None:
        self.log.through.set()
        self._do(self._turns(5))

    @rule(seconds=st.sampled_from([0.1, 1.2, 6.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.log.clock.advance(seconds)
        self._do(self._turns(3))

    @rule()
    def read_to_the_end(self) -> None:
        """Without a lost notification, nobody has to wait for a poll."""
        self._do(self._caught_up())
        if not self.lost:
            self.nothing_is_owed()

    async def _caught_up(self) -> None:
        self.log.through.set()
        for reader in self.readers:
            reader.permit(1_000)
        await self._turns(400)
        for reader in self.readers:
            reader.permit(0)

    def nothing_is_owed(self) -> None:
        assert [each.received for each in self.readers] == [self.owed(r) for r in self.readers]

    def owed(self, reader: Reader) -> list[int]:
        return self.log.shown(reader.after, self.log.head)

    def check(self, reader: Reader) -> None:
        assert reader.received == self.owed(reader)[: len(reader.received)]

    @invariant()
    def nothing_is_missing_twice_or_uncommitted(self) -> None:
        for reader in self.readers:
            self.check(reader)

    async def _polled(self) -> None:
        for _ in range(3):  # makes up for every notification that got lost
            await self._caught_up()
            self.log.clock.advance(6.0)
        await self._caught_up()

    async def _count_loads_of_one_commit(self) -> int:
        self.log.reads.clear()
        self.log.append()
        await self._caught_up()
        return len(self.log.reads)

    async def _end(self) -> None:
        for reader in self.readers:
            await reader.leave()
        assert len(self.log.rings) == 0

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
