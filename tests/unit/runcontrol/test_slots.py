"""Slots: runs that wait for a model's first token take those of the model."""

from __future__ import annotations

import asyncio

import pytest

from services.runcontrol.core.inference import InferenceError
from services.runcontrol.core.retrying import RetryClass
from services.runcontrol.engine.slots import PATIENCE_S, Slots
from tests.support.clock import ManualClock
from tests.unit.runcontrol.in_memory_runcontrol import run_until_idle


class Waits:
    """Runs that wait for targets until they are released."""

    def __init__(self, most_per_target: int) -> None:
        self.clock = ManualClock()
        self.slots = Slots(8, most_per_target, self.clock, lambda: None)
        self.begun: list[str] = []
        self.going = asyncio.Event()

    async def begin(self, name: str, target_id: str = "m") -> asyncio.Task[None]:
        task = asyncio.ensure_future(self._wait(name, target_id))
        await run_until_idle()
        return task

    async def _wait(self, name: str, target_id: str) -> None:
        async with self.slots.waiting_for(target_id):
            self.begun.append(name)
            await self.going.wait()


async def test_a_run_that_waits_for_a_target_leaves_its_slot_to_others() -> None:
    # given a process with two slots, both taken
    freed: list[int] = []
    slots = Slots(2, 1, ManualClock(), lambda: freed.append(slots.free))
    slots.executing = 2

    # when a run waits for its model, is answered, and goes on
    async with slots.waiting_for("m") as answered:
        waiting = slots.free
        answered()
        answered()
        going = slots.free

    # then its slot is free while it waits, and no longer
    assert (waiting, going, slots.free) == (1, 0, 0)
    assert freed == [1]


async def test_a_run_gets_the_slot_of_its_target_that_becomes_free_first() -> None:
    # given a target that one run waits for, and two more that come after it
    waits = Waits(1)
    tasks = [await waits.begin(name) for name in ("first", "second", "third")]
    elsewhere = await waits.begin("other", "n")
    assert (waits.begun, waits.slots.free) == (["first", "other"], 10)

    # when the run that waits is cancelled, and then all are released
    tasks[0].cancel()
    await run_until_idle()
    assert (waits.begun, waits.slots.free) == (["first", "other", "second"], 10)
    waits.going.set()
    await asyncio.gather(*tasks[1:], elsewhere)

    # then they had their turns in order, and nothing is left behind
    assert waits.begun == ["first", "other", "second", "third"]
    assert waits.slots.free == 8


async def test_a_run_that_waits_in_vain_for_a_slot_of_its_target_backs_off() -> None:
    # given a target that one run waits for, and another run
    waits = Waits(1)
    stalled, busy = await waits.begin("stalled"), await waits.begin("busy")

    # when five seconds pass
    waits.clock.advance(PATIENCE_S)
    with pytest.raises(InferenceError) as refused:
        await busy

    # then the other is throttled, and one that comes later gets the slot that becomes free
    failure = refused.value.failure
    assert (failure.retry_class, failure.reason) == (RetryClass.THROTTLED, "TARGET_BUSY")
    later = await waits.begin("later")
    waits.going.set()
    await asyncio.gather(stalled, later)
    assert waits.slots.free == 8


@pytest.mark.parametrize("has_its_turn", [False, True])
async def test_a_run_that_is_stopped_before_its_turn_gives_it_up(has_its_turn: bool) -> None:
    # given a run that waits for a slot of its target, which may have become free just now
    waits = Waits(1)
    first, second = await waits.begin("first"), await waits.begin("second")
    if has_its_turn:
        waits.going.set()
        await first

    # when it is stopped
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    waits.going.set()
    await first

    # then the slot is free
    assert waits.slots.free == 8
    await (await waits.begin("third"))
