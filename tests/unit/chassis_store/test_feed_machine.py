"""Any order of commits, notifications, time, drains and reconnects: no gap, no duplicate."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.chassis.drain import Drain
from services.chassis.follow.feed import Draining, Idle, Items
from tests.unit.chassis_store.test_feed import Follower, Log, settle

pytestmark = pytest.mark.slow

T = TypeVar("T")


class FeedMachine(RuleBasedStateMachine):
    """One subscriber that reconnects with the cursor it has, to servers that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.log = Log()
        self.received: list[int] = []
        self.cursor = 0
        self.follower = self._do(self._connect())

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    async def _connect(self) -> Follower:
        return self.log.follower(after=self.cursor)

    async def _settle(self) -> None:
        await settle()
        for frame in self.follower.frames:
            if isinstance(frame, Items):
                self.received += frame.items
            assert isinstance(frame, Items | Idle | Draining)
            assert frame.cursor >= self.cursor
            self.cursor = frame.cursor
        self.follower.frames.clear()

    async def _reconnect(self) -> None:
        await self.log.close()
        await self._settle()
        self.log.drain = Drain()
        self.follower = await self._connect()

    @rule(count=st.integers(1, 7), notify=st.booleans())
    def commit(self, count: int, notify: bool) -> None:
        self.log.append(count, notify=notify)

    @rule(turns=st.integers(0, 5))
    def let_it_run(self, turns: int) -> None:
        async def turn() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self._do(turn())

    @rule(seconds=st.sampled_from([0.1, 1.2, 6.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.log.clock.advance(seconds)

    @rule()
    def drain_and_reconnect(self) -> None:
        self.log.drain.start()
        self._do(self._settle())
        assert self.follower.ended
        self._do(self._reconnect())

    @rule()
    def lose_the_connection(self) -> None:
        self._do(self._reconnect())

    @rule()
    def notify_without_a_commit(self) -> None:
        self.log.notifier.notify("log")

    @invariant()
    def nothing_is_missing_or_twice(self) -> None:
        assert self.received == list(range(1, len(self.received) + 1))

    def teardown(self) -> None:
        async def end() -> None:
            for _ in range(3):  # a lost notification is made up for by a poll
                await self._settle()
                self.log.clock.advance(6.0)
            await self._settle()
            await self.log.close()

        self._do(end())
        self.loop.close()
        assert self.received == list(range(1, self.log.head + 1))
        assert self.cursor == self.log.head


TestFeed = FeedMachine.TestCase
