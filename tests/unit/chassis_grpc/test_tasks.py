"""Owned loops: restarts, pauses, the end."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.errors import StoreUnavailableError
from services.chassis.tasks import Tasks
from tests.support.clock import ManualClock


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def _pass(clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    await _turns()


async def test_a_loop_that_meets_a_foreseen_error_is_started_again_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # given a loop whose database is away at first
    clock, starts = ManualClock(), 0

    async def waiting() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise StoreUnavailableError("the database cannot be reached")

    tasks = Tasks(clock)
    tasks.start("sender", waiting)
    await _turns()

    # when its pause passes
    await _pass(clock, 0.1)

    # then it has run again, and one warning names the cause
    assert starts == 2
    (told,) = caplog.records
    assert (told.levelname, told.message) == ("WARNING", "loop interrupted")
    assert vars(told)["cause"] == "STORE_UNAVAILABLE"
    assert told.exc_info is None
    await tasks.close()


async def test_a_loop_that_crashes_is_logged_and_started_again_after_a_growing_pause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # given a loop that always fails
    clock, starts = ManualClock(), 0

    async def failing() -> None:
        nonlocal starts
        starts += 1
        raise RuntimeError("no connection")

    tasks = Tasks(clock)
    tasks.start("sender", failing)
    await _turns()

    # when its pauses pass
    seen = [starts]
    for pause_s in (0.1, 0.2, 0.4):
        await _pass(clock, pause_s - 0.01)
        seen.append(starts)
        await _pass(clock, 0.01)
        seen.append(starts)
    await tasks.close()

    # then it starts after each, not before, and each crash is in the log
    assert seen == [1, 1, 2, 2, 3, 3, 4]
    crashes = [record for record in caplog.records if record.message == "loop crashed"]
    assert len(crashes) == 4
    assert {vars(record)["loop"] for record in crashes} == {"sender"}
    assert all(record.exc_info for record in crashes)


async def test_the_pause_has_an_upper_limit_and_begins_again_after_a_long_good_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    tasks = Tasks(clock)
    run_s = 0.0

    async def failing() -> None:
        await clock.sleep(run_s)
        raise RuntimeError("no connection")

    tasks.start("sender", failing)
    for _ in range(12):
        await _turns()
        clock.advance(30.0)
    run_s = 40.0
    await _turns()
    await _pass(clock, 40.0)
    await tasks.close()

    pauses = [vars(r)["restart_in_s"] for r in caplog.records if r.message == "loop crashed"]
    assert pauses[:9] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6]
    assert set(pauses[9:-1]) == {30.0}
    assert pauses[-1] == 0.1


async def test_a_loop_that_returns_is_over() -> None:
    runs = 0

    async def once() -> None:
        nonlocal runs
        runs += 1

    tasks = Tasks(ManualClock())
    tasks.start("once", once)
    await _turns()
    await tasks.close()
    assert runs == 1


async def test_closing_waits_for_the_clean_up_of_every_loop() -> None:
    ended: list[str] = []

    async def run(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    tasks = Tasks(ManualClock())
    tasks.start("a", lambda: run("a"))
    tasks.start("b", lambda: run("b"))
    await _turns()

    await tasks.close()

    assert sorted(ended) == ["a", "b"]


async def test_a_loop_started_while_closing_does_not_survive() -> None:
    """A loop's clean-up may start another one."""
    tasks = Tasks(ManualClock())

    async def started_late() -> None:
        await asyncio.Event().wait()

    async def parent() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tasks.start("started late", started_late)

    tasks.start("parent", parent)
    await _turns()
    await tasks.close()
    assert [task for task in asyncio.all_tasks() if task.get_name() == "started late"] == []
