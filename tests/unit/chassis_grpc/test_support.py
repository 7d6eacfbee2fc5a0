"""The fakes behave as the ports they stand in for promise."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from tests.support.clock import ManualClock
from tests.support.ids import SequentialIds


async def test_time_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(datetime(2026, 5, 1, tzinfo=UTC))
    assert clock.now() == datetime(2026, 5, 1, tzinfo=UTC)
    clock.advance(1.5)
    assert clock.now() == datetime(2026, 5, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert clock.monotonic_s() == 1.5


async def test_sleepers_wake_in_the_order_of_their_instants_and_not_before() -> None:
    # given two sleepers, and one that has nothing to sleep
    clock = ManualClock()
    woken: list[str] = []
    one_woke = asyncio.Event()

    async def sleep(name: str, delay_s: float) -> None:
        await clock.sleep(delay_s)
        woken.append(name)
        one_woke.set()

    tasks = [
        asyncio.ensure_future(sleep(name, delay_s))
        for name, delay_s in [("late", 2.0), ("early", 1.0), ("now", 0.0)]
    ]
    await one_woke.wait()
    assert woken == ["now"]
    assert clock.sleepers == 2

    # when the first of their instants is not reached yet, then both sleep on
    clock.advance(0.9)
    assert clock.sleepers == 2

    # when both are over, then the earlier one wakes first
    clock.advance(5.0)
    await asyncio.gather(*tasks)
    assert woken == ["now", "early", "late"]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock()
    task = asyncio.ensure_future(clock.sleep(1.0))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert clock.sleepers == 0
    clock.advance(2.0)


def test_ids_count_up() -> None:
    ids = SequentialIds("run")
    assert [ids.new_id(), ids.new_id()] == ["run-1", "run-2"]
