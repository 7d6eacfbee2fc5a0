"""Saving a decision, and keeping the thread's place in the queue of ready threads true."""

from __future__ import annotations

from datetime import datetime

from services.runcontrol.core.claiming import ready_at
from services.runcontrol.core.errors import FencedError, RunNotFoundError
from services.runcontrol.core.ports import ThreadTx
from services.runcontrol.core.specs import Specs
from services.runcontrol.core.work import Work


def commit(tx: ThreadTx, before: Work | None, after: Work) -> Work:
    """Persist ``after`` and publish when its thread has work to claim."""
    tx.save(before, after)
    if before is None or _queue_moved(before, after):
        ready = ready_at(after.thread, tx.head(after.thread))
        if ready != after.thread.ready_at:
            tx.set_ready(after.thread, ready)
    return after


def _queue_moved(before: Work, after: Work) -> bool:
    pointers = ("active_run_id", "open_run_id", "epoch")
    moved = any(getattr(before.thread, p) != getattr(after.thread, p) for p in pointers)
    return moved or before.dispatches != after.dispatches


def load(tx: ThreadTx, tenant: str, run_id: str, now: datetime) -> Work:
    """The run, for a caller.

    Raises:
        RunNotFoundError: There is none.
    """
    work = tx.load(tenant, run_id, now)
    if work is None:
        raise RunNotFoundError(f"no run {run_id}", run_id=run_id)
    return work


def load_owned(tx: ThreadTx, tenant: str, run_id: str, now: datetime) -> Work:
    """The run, for its owner.

    Raises:
        FencedError: There is none any more.
    """
    work = tx.load(tenant, run_id, now)
    if work is None:
        raise FencedError(f"run {run_id} is gone")
    return work


def pinned_specs(tx: ThreadTx, work: Work) -> Specs | None:
    """What the run was pinned to; None when that is lost."""
    return tx.pinned(work.run.tenant, work.run.spec_digest)
