"""Which work a thread offers next, and how a server takes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from services.runcontrol.core.events import RunResumed, RunStarted, StepReset
from services.runcontrol.core.model import Dispatch, DispatchState, Lease, Phase, RunState, Thread
from services.runcontrol.core.work import Work

LEASE_S = 15.0
RENEW_EVERY_S = 5.0
# Without a renewal for this long an owner starts nothing more: its lease may be gone.
SELF_FENCE_S = 10.0


def ready_at(thread: Thread, head: Dispatch | None) -> datetime | None:
    """When the thread's head can be claimed; None when nothing can.

    Args:
        head: First of the queue: the open run's continuation, then priority, then arrival.
    """
    if thread.active_run_id or head is None:
        return None
    if thread.open_run_id and head.run_id != thread.open_run_id:
        return None
    return head.available_at


def claim(work: Work, instance_id: str) -> Work:
    """Take the run's queued dispatch under a new fence; the attempt counts from here."""
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
    return _announce(work, claimed, first=run.started_at is None)


def _deadline(work: Work) -> datetime:
    """Later by as long as the run waited for nobody but people."""
    paused_at = work.run.paused_at
    return work.run.deadline_at + (work.now - paused_at if paused_at else timedelta())


def _announce(work: Work, claimed: Dispatch, *, first: bool) -> Work:
    if first:
        return work.emit(RunStarted(claimed.attempt))
    causes = tuple(cause.kind for cause in claimed.causes)
    work = work.emit(RunResumed(claimed.attempt, causes))
    # The model's answer was not committed: the step runs again, what it streamed is void.
    return work.emit(StepReset(work.run.step_seq + 1)) if work.run.phase is Phase.INFER else work
