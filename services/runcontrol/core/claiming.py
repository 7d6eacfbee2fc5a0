"""Claiming: what the claim of a queued dispatch changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from services.runcontrol.core.events import RunResumed, RunStarted, StepReset
from services.runcontrol.core.model import Dispatch, DispatchState, Lease, Phase, RunState
from services.runcontrol.core.work import Work

LEASE_S = 15.0
RENEW_EVERY_S = 5.0
# Without a renewal for this long an owner starts nothing more: its leases may have lapsed.
SELF_FENCE_S = 10.0


def claim(work: Work, instance_id: str) -> Work:
    """Lease the run's thread for its queued dispatch, under a new fence, and count the attempt."""
    dispatch = work.claimed()
    claimed = replace(dispatch, state=DispatchState.CLAIMED, attempt=dispatch.attempt + 1)
    run, fence = work.run, work.thread.fence + 1
    lease = Lease(
        tenant=run.tenant,
        thread_id=run.thread_id,
        run_id=run.run_id,
        dispatch_id=claimed.dispatch_id,
        fence=fence,
        instance_id=instance_id,
        until=work.now + timedelta(seconds=LEASE_S),
    )
    work = replace(work.with_dispatch(claimed), lease=lease)
    work = work.on_thread(
        fence=fence, active_run_id=run.run_id, open_run_id=run.run_id, updated_at=work.now
    )
    work = work.on_run(
        state=RunState.RUNNING,
        waiting=(),
        started_at=run.started_at or work.now,
        deadline_at=_deadline(work),
        paused_at=None,
    )
    return _emit_start(work, claimed, first=run.started_at is None)


def _deadline(work: Work) -> datetime:
    """The run's deadline, moved by the time that it was parked."""
    paused_at = work.run.paused_at
    return work.run.deadline_at + (work.now - paused_at if paused_at else timedelta())


def _emit_start(work: Work, claimed: Dispatch, *, first: bool) -> Work:
    if first:
        return work.emit(RunStarted(claimed.attempt))
    causes = tuple(cause.kind for cause in claimed.causes)
    work = work.emit(RunResumed(claimed.attempt, causes))
    # The model's answer was not committed: the step runs again, and its deltas do not count.
    return work.emit(StepReset(work.run.step_seq + 1)) if work.run.phase is Phase.INFER else work
