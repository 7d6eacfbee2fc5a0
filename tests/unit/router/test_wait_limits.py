"""The time-outs of waits: enforced by one loop, and never taken for a cancel, nor the reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from services.router.engine.attempt import WaitLimit, Watchdog
from tests.support import background
from tests.support.clock import ManualClock


class Waiting:
    """A task that waits for ever, at most to the instant 2.0 of a manual clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.watchdog = Watchdog(self.clock)
        self.limit = WaitLimit()
        self.task: asyncio.Task[str] | None = None

    async def wait(self) -> str:
        try:
            with self.limit.until(2.0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "timed out"
        return "ended"

    async def start(self) -> asyncio.Task[str]:
        self.watchdog.watch(self.limit)
        self.task = asyncio.create_task(self.wait())
        await turns()
        return self.task


async def turns() -> None:
    """Run the loop until no task is ready."""
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def waiting() -> AsyncIterator[Waiting]:
    given = Waiting()
    async with background.running(given.watchdog.run()):
        yield given


async def pass_time(clock: ManualClock, ticks: int) -> None:
    for _ in range(ticks):
        clock.advance(0.1)
        await turns()


async def test_a_wait_ends_within_a_tick_of_its_due_time() -> None:
    # given
    async with waiting() as given:
        task = await given.start()

        # when
        await pass_time(given.clock, 19)
        assert not task.done()
        await pass_time(given.clock, 2)

        # then
        assert task.result() == "timed out"
        assert task.cancelling() == 0


async def test_a_wait_that_is_over_is_not_cancelled_later() -> None:
    # given a wait that ended before its due time
    async with waiting() as given:
        released = asyncio.Event()

        async def wait_twice() -> str:
            with given.limit.until(2.0):
                await released.wait()
            # Unlimited, as a write to a slow caller is.
            await given.clock.sleep(5.0)
            return "ended"

        given.watchdog.watch(given.limit)
        task = asyncio.create_task(wait_twice())
        await turns()
        released.set()

        # when
        await pass_time(given.clock, 60)

        # then
        assert task.result() == "ended"


async def test_each_wait_has_its_own_due_time() -> None:
    # given reads that each come 1.5 s after the last, with 2 s each
    async with waiting() as given:

        async def reads() -> str:
            for _ in range(4):
                with given.limit.until(given.clock.monotonic_s() + 2.0):
                    await given.clock.sleep(1.5)
            return "ended"

        given.watchdog.watch(given.limit)
        task = asyncio.create_task(reads())
        await turns()

        # when
        await pass_time(given.clock, 70)

        # then
        assert task.result() == "ended"


Race = Callable[[Waiting, "asyncio.Task[str]"], None]


def due_then_cancel(given: Waiting, task: asyncio.Task[str]) -> None:
    given.limit.check(2.0)
    task.cancel()


def cancel_then_due(given: Waiting, task: asyncio.Task[str]) -> None:
    task.cancel()
    given.limit.check(2.0)


@pytest.mark.parametrize("race", [due_then_cancel, cancel_then_due])
async def test_a_callers_cancel_in_the_same_turn_stays_a_cancel(race: Race) -> None:
    # given
    async with waiting() as given:
        task = await given.start()

        # when
        race(given, task)
        await asyncio.wait({task})

        # then the time-out has taken back its own cancel, and nothing else
        assert task.cancelled()
        assert task.cancelling() == 1


async def test_a_wait_times_out_in_a_task_that_was_cancelled_before() -> None:
    # given a task that cleans up after a cancel
    async with waiting() as given:

        async def cleaned_up() -> str:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return await given.wait()
            return "ended"

        given.watchdog.watch(given.limit)
        task = asyncio.create_task(cleaned_up())
        await turns()
        task.cancel()
        await turns()

        # when
        await pass_time(given.clock, 21)

        # then
        assert task.result() == "timed out"


async def test_what_the_work_raises_in_its_end_is_not_hidden() -> None:
    # given work that fails as it is cancelled
    async with waiting() as given:

        async def fails() -> None:
            with given.limit.until(2.0):
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    raise ValueError("broken") from None

        given.watchdog.watch(given.limit)
        task = asyncio.create_task(fails())
        await turns()

        # when
        await pass_time(given.clock, 21)

        # then
        assert isinstance(task.exception(), ValueError)
        assert task.cancelling() == 0


async def test_the_watchdog_rests_while_nothing_is_watched() -> None:
    # given a limit that was watched
    async with waiting() as given:
        given.watchdog.watch(given.limit)
        await pass_time(given.clock, 1)
        assert given.clock.sleepers == 1

        # when
        given.watchdog.forget(given.limit)
        await pass_time(given.clock, 1)

        # then
        assert given.clock.sleepers == 0
