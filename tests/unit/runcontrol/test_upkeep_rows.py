"""Rows of upkeep that are many, locked or faulty: each is bounded, and delays itself alone."""

from __future__ import annotations

from typing import Any

import pytest

from services.runcontrol.core.compacting import LOOKS, RANGES, Compaction
from services.runcontrol.core.deleting import RUNS_AT_ONCE, Deletion, bury
from services.runcontrol.core.events import Covered
from services.runcontrol.core.retention import Retention
from tests.support.memory_runcontrol import MemoryTx
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, now


def fail(*_: Any) -> Any:
    raise ValueError("a defect")


def cover(system: InMemoryRunControl, count: int) -> None:
    for seq in range(count):
        of = Covered("default", "r", seq, seq, system.clock.now())
        system.tables.covered["default", "r", seq] = of


def tombstone(system: InMemoryRunControl) -> None:
    def write(tx: Any) -> None:
        bury(tx, tx.thread("default", "t"), "ann", system.clock.now())

    now(system.store.write(write))


def drop_one(tx: MemoryTx, of: Covered, _: int) -> int:
    del tx.t.covered[of.tenant, of.run_id, of.last_run_seq]
    return 1


def test_compaction_goes_on_while_looks_are_full(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    cover(system, 2 * RANGES + 1)
    monkeypatch.setattr(MemoryTx, "drop_deltas", drop_one)
    assert now(Compaction(system.store, system.clock, 0.0).compact()) == 2 * RANGES + 1
    assert system.tables.covered == {}


def test_compaction_ends_after_a_number_of_looks(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given ranges that never end
    cover(system, RANGES)
    monkeypatch.setattr(MemoryTx, "drop_deltas", lambda *_: 1)

    # when they are compacted, then each look is counted
    assert now(Compaction(system.store, system.clock, 0.0).compact()) == LOOKS * RANGES


def test_ranges_that_cannot_be_dropped_are_left_to_the_next_round(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    cover(system, RANGES)
    monkeypatch.setattr(MemoryTx, "drop_deltas", fail)
    assert now(Compaction(system.store, system.clock, 0.0).compact()) == 0


def test_a_slice_of_a_purge_has_few_runs(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a deleted thread with more runs than one slice has
    for _ in range(RUNS_AT_ONCE + 1):
        system.submit(thread_id="t")
    tombstone(system)
    sizes, purge = [], MemoryTx.purge

    def counted(tx: MemoryTx, *args: Any) -> bool:
        before = len(tx.t.runs)
        done = purge(tx, *args)
        sizes.append(before - len(tx.t.runs))
        return done

    monkeypatch.setattr(MemoryTx, "purge", counted)

    # when it is purged, then each transaction buries a slice
    assert now(Deletion(system.store, system.clock).resume()) == 1
    assert sizes == [RUNS_AT_ONCE, 1]


def test_a_deleted_thread_that_is_locked_or_faulty_is_left_to_the_next_round(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.submit(thread_id="t")
    tombstone(system)
    deletion = Deletion(system.store, system.clock)
    with monkeypatch.context() as locked:
        locked.setattr(MemoryTx, "try_lock", lambda *_: False)
        assert now(deletion.resume()) == 0
    with monkeypatch.context() as faulty:
        faulty.setattr(MemoryTx, "purge", fail)
        assert now(deletion.resume()) == 0
    assert now(deletion.resume()) == 1


def test_an_old_thread_that_is_locked_or_faulty_is_left_to_the_next_round(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = system.claim_new(thread_id="t")
    system.advance(claimed)
    system.answer(claimed)
    system.clock.advance(2 * 86_400.0)
    retention = Retention(system.store, system.clock, 1, {})
    for lock in (lambda *_: False, fail):
        with monkeypatch.context() as broken:
            broken.setattr(MemoryTx, "try_lock", lock)
            assert now(retention.bury_old()) == 0
    assert now(retention.bury_old()) == 1
