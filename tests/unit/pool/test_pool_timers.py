"""The timer loop: fires what is due, follows notifications, continues after a failure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.chassis.follow.notifier import LocalNotifier
from services.pool.core import errors
from services.pool.core.events import DueTimer, EventFilter, Start, Timer, TimerKind, WakeState
from services.pool.engine.timers import BATCH, POLL_S, TimerLoop
from tests.support.background import running
from tests.support.clock import START
from tests.support.pool_service import POOL, PoolService, condition, refused, seconds
from tests.support.waiting import until

NEVER = EventFilter(topics=("never",))


@asynccontextmanager
async def ticking(service: PoolService) -> AsyncIterator[LocalNotifier]:
    """The loop, running on the service's clock."""
    notifier = LocalNotifier(service.clock)
    loop = TimerLoop(service.store, service.timers, notifier, service.clock, "timers")
    async with running(loop.run()):
        await until(lambda: service.clock.sleepers > 0)
        yield notifier


async def waiting(*timeouts_s: float) -> PoolService:
    """A member with a wait per time-out."""
    service = await PoolService().opened("run-a")
    for number, timeout_s in enumerate(timeouts_s):
        timeout = seconds(timeout_s)
        waits = condition("run-a", f"w{number}", NEVER, timeout=timeout, match_from=Start.NOW)
        await service.suspend(waits)
    return service


def states(service: PoolService) -> list[WakeState]:
    return [wake.state for wake in service.memory.wakes.values()]


async def test_a_timer_fires_at_its_time_and_the_next_one_at_its_own() -> None:
    # given waits of two and three seconds
    service = await waiting(2, 3)
    async with ticking(service):
        # when two seconds pass
        service.clock.advance(2)
        await until(lambda: WakeState.TIMED_OUT in states(service))
        after_two = states(service)

        # when another one passes
        await until(lambda: service.clock.sleepers > 0)
        service.clock.advance(1)
        await until(lambda: states(service).count(WakeState.TIMED_OUT) == 2)

    # then each fired at its own time
    assert after_two == [WakeState.TIMED_OUT, WakeState.REGISTERED]


async def test_timers_that_were_due_before_the_start_fire_at_once() -> None:
    # given more waits than a batch, all of which ended during an outage
    service = await waiting(*[1.0] * (BATCH + 1))
    service.clock.advance(3600)

    # when the loop starts
    async with ticking(service):
        await until(lambda: WakeState.REGISTERED not in states(service))

    # then each has ended once
    assert len(service.memory.outbox) == BATCH + 1


async def test_a_notification_shortens_the_pause() -> None:
    # given a loop that has nothing to do for a while
    service = await waiting()
    async with ticking(service) as notifier:
        # when a timer is set that is due before its next look
        await service.suspend(condition("run-a", "w", NEVER, timeout=seconds(1)))
        reads = service.store.timer_reads  # type: ignore[attr-defined]
        notifier.notify("timers")
        await until(lambda: service.store.timer_reads > reads)  # type: ignore[attr-defined]
        await until(lambda: service.clock.sleepers == 1)
        service.clock.advance(1)
        await until(lambda: states(service) == [WakeState.TIMED_OUT])

    # then it did not wait for its poll
    assert POLL_S > 1


async def test_a_lost_notification_delays_a_timer_by_a_poll_interval() -> None:
    # given a loop without a notification of a timer
    service = await waiting()
    async with ticking(service):
        await service.suspend(condition("run-a", "w", NEVER, timeout=seconds(1)))

        # when the poll interval passes
        service.clock.advance(POLL_S)
        await until(lambda: states(service) == [WakeState.TIMED_OUT])

    # then the timer has fired
    assert len(service.memory.outbox) == 1


@pytest.mark.parametrize("is_defect", [False, True])
async def test_a_failure_in_one_pool_does_not_stop_the_others(
    is_defect: bool, caplog: pytest.LogCaptureFixture
) -> None:
    # given a timer of a wake that does not exist, or cannot be read, due before another
    service = await waiting(2)
    unknown = Timer(TimerKind.WAKE, "unknown", START)
    service.memory.timers[POOL, TimerKind.WAKE, "unknown"] = unknown
    if is_defect:
        service.memory.wakes[POOL, "unknown"] = "no wake"

    # when both are due
    service.clock.advance(2)
    async with ticking(service):
        await until(lambda: (service.memory.wakes[POOL, "c-w0"]).state is WakeState.TIMED_OUT)

    # then the failure is logged, and its timer is kept
    assert "row not served" in caplog.text
    assert (POOL, TimerKind.WAKE, "unknown") in service.memory.timers


async def test_a_batch_of_which_none_fires_is_not_tried_again_at_once() -> None:
    # given as many timers that cannot fire as a batch holds
    service = await waiting()
    for number in range(BATCH):
        unknown = Timer(TimerKind.WAKE, f"unknown-{number}", START)
        service.memory.timers[POOL, TimerKind.WAKE, unknown.subject_id] = unknown

    # when the loop has found them and none behind them, then it waits before it looks again
    async with ticking(service):
        assert service.store.timer_reads == 2  # type: ignore[attr-defined]


async def test_a_batch_of_which_none_fires_does_not_hold_up_those_behind_it() -> None:
    # given more timers that cannot fire than a batch holds, and one behind them
    service = await waiting(2)
    for number in range(BATCH + 1):
        unknown = Timer(TimerKind.WAKE, f"unknown-{number}", START)
        service.memory.timers[POOL, TimerKind.WAKE, unknown.subject_id] = unknown
    service.clock.advance(2)

    # when
    async with ticking(service):
        fired = states(service)

    # then
    assert fired == [WakeState.TIMED_OUT]


async def test_a_timer_of_an_unknown_pool_is_refused() -> None:
    # given a timer of no pool
    service = PoolService()
    due = DueTimer("default", "none", Timer(TimerKind.EXPIRY, "m", START))

    # when it fires, then the pool is not found
    await refused(errors.PoolNotFoundError, service.timers.fire(due))
