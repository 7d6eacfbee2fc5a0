"""What one process changes, the store gets in batches and every other process reads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from services.chassis.errors import StoreUnavailableError
from services.chassis.follow.notifier import LocalNotifier
from services.router.clients.credentials import digest_of
from services.router.core.pins import Pins, pin_entry
from services.router.core.ports import News, Saved
from services.router.core.shared_entry import Entry, Key, Kind
from services.router.engine.changes import RoutingChanges
from services.router.engine.routing_state import RoutingState
from services.router.engine.state_sharing import (
    FORGET_S,
    INTERVAL_S,
    LOOK_S,
    PAUSE_S,
    StateSharing,
)
from tests.support.background import running
from tests.support.clock import ManualClock
from tests.unit.router.builders import NOW, a_pin
from tests.unit.router.test_pins import POOL, key

CHANNEL = "shared"


@dataclass
class InMemoryStore:
    """Implements ``ports.Store``; it can fail.

    Attributes:
        notified: Told of every write.
    """

    clock: ManualClock
    notified: list[LocalNotifier] = field(default_factory=list)
    rows: dict[tuple[Kind, Key], tuple[int, Entry[Any]]] = field(default_factory=dict)
    number: int = 0
    writes: int = 0
    reads: int = 0
    full: bool = False
    locked: set[Key] = field(default_factory=set)
    forgotten: list[datetime] = field(default_factory=list)

    async def load(self, most: int) -> News:
        entries = [entry for _, entry in self.rows.values()][:most]
        return News(entries, self.number)

    async def save(self, entries: Sequence[Entry[Any]]) -> Saved:
        self.writes += 1
        self._refuse()
        for entry in entries:
            self.number += 1
            _, before = self.rows.get((entry.kind, entry.key), (0, None))
            if entry.key not in self.locked and entry.supersedes(before):
                self.rows[entry.kind, entry.key] = self.number, entry
        for each in self.notified:
            each.notify(CHANNEL)
        locked = [entry for entry in entries if entry.key in self.locked]
        return Saved(self.number, len(entries), locked)

    async def news(self, after: int, most: int) -> News:
        self.reads += 1
        self._refuse()
        rows = sorted((number, key) for key, (number, _) in self.rows.items() if number > after)
        page = [self.rows[key][1] for _, key in rows[:most]]
        more = len(rows) > most
        return News(page, rows[most - 1][0] if more else self.number, more)

    async def forget(self, before: datetime) -> None:
        self._refuse()
        self.forgotten.append(before)

    def _refuse(self) -> None:
        if self.full:
            raise StoreUnavailableError("full")


@dataclass
class Replica:
    """One process on the store."""

    store: InMemoryStore
    notifier: LocalNotifier = field(init=False)
    changes: RoutingChanges = field(default_factory=RoutingChanges)
    pins: Pins = field(init=False)
    sharing: StateSharing = field(init=False)

    def __post_init__(self) -> None:
        clock = self.store.clock
        self.notifier = LocalNotifier(clock)
        self.pins = Pins(changes=self.changes)
        routing = RoutingState(self.pins, digest_of, self.changes)
        self.sharing = StateSharing(routing, self.changes, self.store, clock, CHANNEL)

    async def run(self) -> None:
        await self.sharing.run(self.notifier)


async def pass_time(clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore(ManualClock())


@pytest.fixture
def one(store: InMemoryStore) -> Replica:
    return Replica(store)


async def test_changes_are_written_together_and_nothing_is_written_twice(
    store: InMemoryStore, one: Replica
) -> None:
    # given a process at work
    async with running(one.run()):
        await pass_time(store.clock, 0)

        # when two sessions are pinned within one interval
        one.pins.put(a_pin("thread:t1"))
        one.pins.put(a_pin("thread:t2"))
        await pass_time(store.clock, INTERVAL_S)
        await pass_time(store.clock, INTERVAL_S)

    # then
    assert (len(store.rows), store.writes) == (2, 1)


async def test_a_locked_pin_is_written_when_it_is_free_and_the_others_at_once(
    store: InMemoryStore, one: Replica
) -> None:
    # given a process at work
    async with running(one.run()):
        await pass_time(store.clock, 0)

        # when two sessions are pinned, the row of one of which somebody has locked
        first, second = a_pin("thread:t1"), a_pin("thread:t2")
        store.locked = {first.key}
        one.pins.put(first)
        one.pins.put(second)
        await pass_time(store.clock, INTERVAL_S)
        while_locked = {place for _, place in store.rows}
        store.locked = set()
        await pass_time(store.clock, INTERVAL_S)

    # then
    assert while_locked == {second.key}
    assert {place for _, place in store.rows} == {first.key, second.key}


async def test_no_pin_is_lost_while_the_disk_is_full(store: InMemoryStore, one: Replica) -> None:
    # given
    store.full = True
    async with running(one.run()):
        await pass_time(store.clock, 0)
        one.pins.put(a_pin("thread:t1"))

        # when the first write fails, and the disk is free again after a while
        await pass_time(store.clock, INTERVAL_S)
        await pass_time(store.clock, INTERVAL_S)
        failed = store.writes
        store.full = False
        await pass_time(store.clock, PAUSE_S)
        await pass_time(store.clock, INTERVAL_S)

    # then
    assert failed == 1
    assert len(store.rows) == 1


async def test_what_is_stored_is_loaded(store: InMemoryStore, one: Replica) -> None:
    # given
    await store.save([pin_entry(a_pin())])

    # when
    await one.sharing.load()

    # then
    assert one.pins.find(key(), POOL, NOW) == a_pin()
    assert one.changes.take_unsaved() == []


async def test_a_failed_flush_raises_and_keeps_the_changes(
    store: InMemoryStore, one: Replica
) -> None:
    # given
    store.full = True
    one.pins.put(a_pin())

    # when
    with pytest.raises(StoreUnavailableError):
        await one.sharing.flush()

    # then it is still to be written
    assert one.changes.take_unsaved() == [pin_entry(a_pin())]


async def test_a_newer_change_is_not_replaced_by_one_that_could_not_be_written(
    one: Replica,
) -> None:
    # given a change that is being written
    one.pins.put(a_pin())
    written = one.changes.take_unsaved()

    # when the session moves, and the write fails
    moved = a_pin(member_id="c")
    one.pins.put(moved)
    one.changes.put_back(written)

    # then
    assert one.changes.take_unsaved() == [pin_entry(moved)]


async def test_the_changes_of_a_process_reach_another_one_that_is_notified(
    store: InMemoryStore, one: Replica
) -> None:
    # given two processes that have looked, of which one is notified
    other = Replica(store)
    store.notified = [one.notifier, other.notifier]
    async with running(one.run()), running(other.run()):
        await pass_time(store.clock, 0)
        await pass_time(store.clock, INTERVAL_S)
        looked = store.reads

        # when more sessions than fit one read are pinned
        for number in range(1_001):
            one.pins.put(a_pin(f"thread:{number}"))
        await pass_time(store.clock, INTERVAL_S)
        await pass_time(store.clock, INTERVAL_S)

        # then the other one has them, read in pages, and the first one has not read its own again
        assert len(other.pins) == 1_001
        assert store.reads == looked + 3 + 1


async def test_a_process_looks_from_time_to_time_without_a_notification(
    store: InMemoryStore, one: Replica
) -> None:
    # given a process that is not notified
    async with running(one.run()):
        await pass_time(store.clock, 0)
        await pass_time(store.clock, INTERVAL_S)

        # when another one has stored a pin
        await store.save([pin_entry(a_pin())])
        await pass_time(store.clock, LOOK_S - INTERVAL_S)
        before = len(one.pins)
        await pass_time(store.clock, INTERVAL_S)

        # then
        assert (before, len(one.pins)) == (0, 1)


async def test_after_an_outage_a_process_reads_what_it_missed_as_soon_as_it_is_notified(
    store: InMemoryStore, one: Replica
) -> None:
    # given a process that the database has failed
    async with running(one.run()):
        await pass_time(store.clock, 0)
        store.full = True
        await pass_time(store.clock, LOOK_S)

        # when it is back, has an entry of another process, and notifications work again
        store.full = False
        await store.save([pin_entry(a_pin())])
        one.notifier.notify_all()
        await pass_time(store.clock, 0)
        await pass_time(store.clock, INTERVAL_S)

        # then
        assert len(one.pins) == 1


async def test_what_has_ended_is_forgotten_after_a_while(
    store: InMemoryStore, one: Replica
) -> None:
    # given a process at work
    async with running(one.run()):
        await pass_time(store.clock, 0)
        await pass_time(store.clock, INTERVAL_S)

        # when
        await pass_time(store.clock, FORGET_S)

    # then a minute is left for clocks that are behind
    late = [(store.clock.now() - each).total_seconds() for each in store.forgotten]
    assert late == [120.0, 60.0]
