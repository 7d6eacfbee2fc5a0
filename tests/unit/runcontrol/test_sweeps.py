"""Sweeps for lapsed leases and for deadlines: each row found is judged again when it is locked."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.runcontrol.core.claiming import LEASE_S
from services.runcontrol.core.model import RunState, TerminationReason
from tests.support.clock import START
from tests.support.memory_runcontrol import MemoryTx
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, now


def test_a_renewed_lease_holds_and_a_lapsed_one_is_freed(system: InMemoryRunControl) -> None:
    # given a run that executes
    claimed = system.claim_new()
    key = ("default", claimed.run.thread_id, claimed.fence)

    # when its lease is renewed once, and then not again
    system.clock.advance(10)
    (lease,) = now(system.execution.renew(frozenset({key})))
    nothing = now(system.execution.renew(frozenset({(*key[:2], claimed.fence + 1)})))
    system.clock.advance(LEASE_S - 1)
    early = now(system.execution.reclaim_lapsed())
    system.clock.advance(1)
    last = now(system.execution.reclaim_lapsed())
    system.clock.advance(0.001)
    own = now(system.execution.reclaim_lapsed(frozenset({key})))
    late = now(system.execution.reclaim_lapsed())

    # then it held up to its last instant, and its owner, which executes the run, never ends it
    assert lease.until == START + timedelta(seconds=10 + LEASE_S)
    assert (nothing, early, last, own, late) == ([], 0, 0, 0, 1)
    assert system.run().state is RunState.WAITING


def test_a_lapsed_lease_of_a_locked_thread_is_left_to_the_next_round(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a lapsed lease, whose thread somebody else has locked
    system.claim_new()
    system.clock.advance(LEASE_S + 1)
    with monkeypatch.context() as locked:
        locked.setattr(MemoryTx, "try_lock", lambda *_: False)
        skipped = now(system.execution.reclaim_lapsed())

    # then it is freed when the thread is unlocked
    assert (skipped, now(system.execution.reclaim_lapsed())) == (0, 1)


def test_a_deadline_ends_a_run_that_does_not_execute(system: InMemoryRunControl) -> None:
    # given a queued run with ten seconds
    system.submit(deadline_s=10.0)

    # when runs are swept before the deadline, and after it
    system.clock.advance(9)
    early = now(system.execution.expire_due())
    system.clock.advance(1)
    late = now(system.execution.expire_due())

    # then it ends with its deadline
    assert (early, late) == (0, 1)
    assert system.termination().reason is TerminationReason.DEADLINE


def test_a_deadline_in_a_locked_thread_is_left_to_the_next_round(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run whose deadline has passed, whose thread somebody else has locked
    system.submit(deadline_s=10.0)
    system.clock.advance(10)
    with monkeypatch.context() as locked:
        locked.setattr(MemoryTx, "try_lock", lambda *_: False)
        skipped = now(system.execution.expire_due())

    # then it ends when the thread is unlocked
    assert (skipped, now(system.execution.expire_due())) == (0, 1)


def test_a_run_that_ended_after_the_sweep_found_it_is_left(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a sweep that finds a run whose deadline has passed
    run_id = system.submit(deadline_s=10.0).run_id
    system.clock.advance(10)
    found = now(system.store.write(lambda tx: tx.due_runs(system.clock.now(), 10)))
    assert len(found) == 1
    monkeypatch.setattr(MemoryTx, "due_runs", lambda *_: found)

    # when it is cancelled before the sweep comes to it
    system.cancel(run_id=run_id, reason="enough")

    # then its end stays what it was
    assert now(system.execution.expire_due()) == 0
    assert system.termination().reason is TerminationReason.CANCELLED


def test_a_lease_that_was_renewed_after_the_sweep_found_it_is_left(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a sweep that finds a lapsed lease
    claimed = system.claim_new()
    system.clock.advance(LEASE_S + 1)
    found = now(system.store.write(lambda tx: tx.lapsed(system.clock.now(), 10)))
    assert len(found) == 1
    monkeypatch.setattr(MemoryTx, "lapsed", lambda *_: found)

    # when its owner renews it before the sweep comes to it
    key = ("default", claimed.run.thread_id, claimed.fence)
    assert len(now(system.execution.renew(frozenset({key})))) == 1

    # then the run goes on, up to the last instant of its lease
    assert now(system.execution.reclaim_lapsed()) == 0
    system.clock.advance(LEASE_S)
    assert now(system.execution.reclaim_lapsed()) == 0
    assert system.run().state is RunState.RUNNING


def test_leases_are_renewed_ahead_of_other_writes(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run that executes, and a store that no other write comes through
    claimed = system.claim_new()
    key = ("default", claimed.run.thread_id, claimed.fence)
    write = system.store.write
    monkeypatch.setattr(system.store, "write_first", write)
    monkeypatch.setattr(system.store, "write", None)

    # when its lease is renewed
    # then it is
    assert len(now(system.execution.renew(frozenset({key})))) == 1
