"""The timer loop: fires what is due, wakes for what is set, survives what fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from services.chassis.notifier import LocalNotifier
from services.pool.core.errors import PoolNotFoundError
from services.pool.core.events import DueTimer, EventFilter, Start, Timer, TimerKind, WakeState
from services.pool.engine.timers import BATCH, POLL_S, TimerLoop
from tests.support.clock import START
from tests.support.pool_desk import POOL, PoolDesk, condition, seconds

NEVER = EventFilter(topics=("never",))


@asynccontextmanager
async def ticking(desk: PoolDesk) -> AsyncIterator[LocalNotifier]:
    """The loop, running on the desk's clock."""
    notifier = LocalNotifier(desk.clock)
    loop = TimerLoop(desk.store, desk.timers, notifier, desk.clock, "timers")
    task = asyncio.create_task(loop.run())
    try:
        await settled(lambda: desk.clock.sleepers > 0)
        yield notifier
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled(done: Callable[[], bool]) -> None:
    """Let the loop run until ``done``; it never waits for real time."""
    for _ in range(1000):
        if done():
            return
        await asyncio.sleep(0)
    pytest.fail("the loop did not get there")


async def waiting(desk: PoolDesk, *timeouts_s: float) -> None:
    """A member with a wait per time-out."""
    await desk.open()
    await desk.join("run-a")
    for number, timeout_s in enumerate(timeouts_s):
        await desk.suspend(
            condition(
                "run-a", f"w{number}", NEVER, timeout=seconds(timeout_s), match_from=Start.NOW
            )
        )


def states(desk: PoolDesk) -> list[WakeState]:
    return [wake.state for wake in desk.memory.wakes.values()]


async def test_a_timer_fires_at_its_time_and_the_next_one_at_its_own() -> None:
    # given waits of two and three seconds
    desk = PoolDesk()
    await waiting(desk, 2, 3)
    async with ticking(desk):
        # when two seconds pass
        desk.clock.advance(2)
        await settled(lambda: WakeState.TIMED_OUT in states(desk))
        after_two = states(desk)

        # when another one passes
        await settled(lambda: desk.clock.sleepers > 0)
        desk.clock.advance(1)
        await settled(lambda: states(desk).count(WakeState.TIMED_OUT) == 2)

    # then each fired at its own time
    assert after_two == [WakeState.TIMED_OUT, WakeState.REGISTERED]


async def test_what_fell_due_while_nobody_ran_fires_at_once() -> None:
    # given more waits than a batch, all of which ended during an outage
    desk = PoolDesk()
    await waiting(desk, *[1.0] * (BATCH + 1))
    desk.clock.advance(3600)

    # when the loop starts
    async with ticking(desk):
        await settled(lambda: WakeState.REGISTERED not in states(desk))

    # then each has ended once
    assert len(desk.memory.outbox) == BATCH + 1


async def test_a_ring_shortens_the_pause() -> None:
    # given a loop that has nothing to do for a while
    desk = PoolDesk()
    await waiting(desk)
    async with ticking(desk) as notifier:
        # when a timer is set that is due before its next look
        await desk.suspend(condition("run-a", "w", NEVER, timeout=seconds(1)))
        reads = desk.store.timer_reads  # type: ignore[attr-defined]
        notifier.ring("timers")
        await settled(lambda: desk.store.timer_reads > reads)  # type: ignore[attr-defined]
        await settled(lambda: desk.clock.sleepers == 1)
        desk.clock.advance(1)
        await settled(lambda: states(desk) == [WakeState.TIMED_OUT])

    # then it did not wait for its poll
    assert POLL_S > 1


async def test_a_lost_ring_costs_a_poll() -> None:
    # given a loop that was not told of a timer
    desk = PoolDesk()
    await waiting(desk)
    async with ticking(desk):
        await desk.suspend(condition("run-a", "w", NEVER, timeout=seconds(1)))

        # when the poll interval passes
        desk.clock.advance(POLL_S)
        await settled(lambda: states(desk) == [WakeState.TIMED_OUT])

    # then it has looked all the same
    assert len(desk.memory.outbox) == 1


@pytest.mark.parametrize("is_defect", [False, True])
async def test_trouble_in_one_pool_does_not_stop_the_others(
    is_defect: bool, caplog: pytest.LogCaptureFixture
) -> None:
    # given a timer of a wake that is not there, or cannot be read, due before another
    desk = PoolDesk()
    await waiting(desk, 2)
    ghost = Timer(TimerKind.WAKE, "ghost", START)
    desk.memory.timers[POOL, TimerKind.WAKE, "ghost"] = ghost
    if is_defect:
        desk.memory.wakes[POOL, "ghost"] = "no wake"

    # when both are due
    desk.clock.advance(2)
    async with ticking(desk):
        await settled(lambda: (desk.memory.wakes[POOL, "c-w0"]).state is WakeState.TIMED_OUT)

    # then the trouble is logged, and its timer stays to be looked into
    assert "timer not fired" in caplog.text
    assert (POOL, TimerKind.WAKE, "ghost") in desk.memory.timers


async def test_a_batch_of_which_none_fires_is_not_tried_again_at_once() -> None:
    # given as many timers that cannot fire as a batch holds
    desk = PoolDesk()
    await waiting(desk)
    for number in range(BATCH):
        ghost = Timer(TimerKind.WAKE, f"ghost-{number}", START)
        desk.memory.timers[POOL, TimerKind.WAKE, ghost.subject_id] = ghost

    # when the loop has found them, then it waits before it looks again
    async with ticking(desk):
        assert desk.store.timer_reads == 1  # type: ignore[attr-defined]


async def test_a_timer_of_a_pool_that_is_not_there_is_refused() -> None:
    # given a timer of no pool
    desk = PoolDesk()
    due = DueTimer("default", "none", Timer(TimerKind.EXPIRY, "m", START))

    # when it fires, then it says so
    with pytest.raises(PoolNotFoundError):
        await desk.timers.fire(due)
