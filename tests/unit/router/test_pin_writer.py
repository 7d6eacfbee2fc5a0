from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from services.chassis.errors import StoreUnavailableError
from services.router.core.pins import Pin, PinKey, Pins
from services.router.engine.pin_writer import INTERVAL_S, PAUSE_S, PinWriter
from tests.support.background import running
from tests.support.clock import ManualClock
from tests.unit.router.builders import NOW, a_pin
from tests.unit.router.test_pins import POOL, key


@dataclass
class InMemoryStore:
    """A pin store in memory that can fail."""

    pins: dict[PinKey, Pin] = field(default_factory=dict)
    writes: int = 0
    full: bool = False
    locked: set[PinKey] = field(default_factory=set)

    async def load(self, limit: int) -> list[Pin]:
        return list(self.pins.values())[:limit]

    async def save(self, pins: Sequence[Pin], gone: Sequence[PinKey]) -> frozenset[PinKey]:
        self.writes += 1
        if self.full:
            raise StoreUnavailableError("full")
        self.pins.update({pin.key: pin for pin in pins if pin.key not in self.locked})
        for place in set(gone) - self.locked:
            self.pins.pop(place, None)
        return frozenset(self.locked.intersection([*(pin.key for pin in pins), *gone]))


async def pass_time(clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    for _ in range(10):
        await asyncio.sleep(0)


async def test_changes_are_written_together_and_nothing_is_written_twice() -> None:
    # given a writer at work
    pins, store, clock = Pins(), InMemoryStore(), ManualClock()
    async with running(PinWriter(pins, store, clock).run()):
        await pass_time(clock, 0)

        # when two sessions are pinned within one interval
        pins.put(a_pin("thread:t1"))
        pins.put(a_pin("thread:t2"))
        await pass_time(clock, INTERVAL_S)
        await pass_time(clock, INTERVAL_S)

    # then
    assert (len(store.pins), store.writes) == (2, 1)


async def test_a_locked_pin_is_written_when_it_is_free_and_the_others_at_once() -> None:
    # given a writer at work
    pins, store, clock = Pins(), InMemoryStore(), ManualClock()
    async with running(PinWriter(pins, store, clock).run()):
        await pass_time(clock, 0)

        # when two sessions are pinned, the row of one of which somebody has locked
        first, second = a_pin("thread:t1"), a_pin("thread:t2")
        store.locked = {first.key}
        pins.put(first)
        pins.put(second)
        await pass_time(clock, INTERVAL_S)
        while_locked = set(store.pins)
        store.locked = set()
        await pass_time(clock, INTERVAL_S)

    # then
    assert while_locked == {second.key}
    assert set(store.pins) == {first.key, second.key}


async def test_no_pin_is_lost_while_the_disk_is_full() -> None:
    # given
    pins, store, clock = Pins(), InMemoryStore(full=True), ManualClock()
    async with running(PinWriter(pins, store, clock).run()):
        await pass_time(clock, 0)
        pins.put(a_pin("thread:t1"))

        # when the first write fails, and the disk is free again after a while
        await pass_time(clock, INTERVAL_S)
        await pass_time(clock, INTERVAL_S)
        failed = store.writes
        store.full = False
        await pass_time(clock, PAUSE_S)
        await pass_time(clock, INTERVAL_S)

    # then
    assert failed == 1
    assert len(store.pins) == 1


async def test_stored_pins_are_loaded() -> None:
    # given
    pins, store = Pins(), InMemoryStore({a_pin().key: a_pin()})

    # when
    await PinWriter(pins, store, ManualClock()).load()

    # then
    assert pins.find(key(), POOL, NOW) == a_pin()


async def test_a_failed_flush_raises_and_keeps_the_changes() -> None:
    # given
    pins, store = Pins(), InMemoryStore(full=True)
    pins.put(a_pin())

    # when
    with pytest.raises(StoreUnavailableError):
        await PinWriter(pins, store, ManualClock()).flush()

    # then it is still to be written
    assert pins.take_unsaved() == ([a_pin()], [])
