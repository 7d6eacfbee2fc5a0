from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from services.chassis.errors import StoreUnavailableError
from services.router.core.pins import Pin, PinKey, Pins
from services.router.engine.pin_writer import INTERVAL_S, PAUSE_S, PinWriter
from tests.support.clock import ManualClock
from tests.unit.router.test_pins import NOW, POOL, a_pin, key


@dataclass
class Shelf:
    """A pin store in memory that can fail."""

    pins: dict[PinKey, Pin] = field(default_factory=dict)
    writes: int = 0
    full: bool = False

    async def load(self, limit: int) -> list[Pin]:
        return list(self.pins.values())[:limit]

    async def save(self, pins: Sequence[Pin], gone: Sequence[PinKey]) -> None:
        self.writes += 1
        if self.full:
            raise StoreUnavailableError("full")
        self.pins.update({pin.key: pin for pin in pins})
        for place in gone:
            self.pins.pop(place, None)


async def rounds(clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    for _ in range(10):
        await asyncio.sleep(0)


async def test_changes_are_written_together_and_nothing_is_written_twice() -> None:
    # given a writer at work
    pins, shelf, clock = Pins(), Shelf(), ManualClock()
    running = asyncio.create_task(PinWriter(pins, shelf, clock).run())
    await rounds(clock, 0)

    # when two sessions are pinned within one interval
    pins.hold(a_pin("thread:t1"))
    pins.hold(a_pin("thread:t2"))
    await rounds(clock, INTERVAL_S)
    await rounds(clock, INTERVAL_S)
    running.cancel()
    await asyncio.wait({running})

    # then
    assert (len(shelf.pins), shelf.writes) == (2, 1)


async def test_a_full_disk_costs_time_and_no_pin() -> None:
    # given
    pins, shelf, clock = Pins(), Shelf(full=True), ManualClock()
    running = asyncio.create_task(PinWriter(pins, shelf, clock).run())
    await rounds(clock, 0)
    pins.hold(a_pin("thread:t1"))

    # when the first write fails, and the disk is free again after a while
    await rounds(clock, INTERVAL_S)
    await rounds(clock, INTERVAL_S)
    failed = shelf.writes
    shelf.full = False
    await rounds(clock, PAUSE_S)
    await rounds(clock, INTERVAL_S)
    running.cancel()
    await asyncio.wait({running})

    # then
    assert failed == 1
    assert len(shelf.pins) == 1


async def test_what_was_stored_is_held_again() -> None:
    # given
    pins, shelf = Pins(), Shelf({a_pin().key: a_pin()})

    # when
    await PinWriter(pins, shelf, ManualClock()).load()

    # then
    assert pins.find(key(), POOL, NOW) == a_pin()


async def test_a_write_that_fails_is_told_to_whoever_flushes() -> None:
    # given
    pins, shelf = Pins(), Shelf(full=True)
    pins.hold(a_pin())

    # when
    with pytest.raises(StoreUnavailableError):
        await PinWriter(pins, shelf, ManualClock()).flush()

    # then it is still to be written
    assert pins.take_unsaved() == ([a_pin()], [])
