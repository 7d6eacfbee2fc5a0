"""What follows a run that ends without having read all of its input: runs that read the rest."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from services.runcontrol.core.events import InputQueued, RunQueued
from services.runcontrol.core.limits import MAX_DEADLINE_S
from services.runcontrol.core.model import (
    Dispatch,
    DispatchKind,
    Input,
    InputDisposition,
    InputState,
    NextRun,
    Run,
)
from services.runcontrol.core.work import Work


def hand_over_inputs(work: Work) -> Work:
    """Queue a run for each pending input that names a next one; drop the other pending inputs.

    The thread must be free of the run already: the next runs continue its sequences.
    """
    kept = []
    for unread in work.inputs:
        following = unread.next_run
        if unread.state is not InputState.PENDING:
            kept.append(unread)
        elif following is None:
            kept.append(replace(unread, state=InputState.DROPPED))
        else:
            work = _queue(work, unread, following)
    return replace(work, inputs=tuple(kept))


def drop_inputs(work: Work) -> Work:
    """Drop the run's pending inputs; none of them gets a run of its own."""
    dropped = tuple(replace(each, state=InputState.DROPPED) for each in work.inputs)
    return replace(work, inputs=dropped)


def _queue(work: Work, unread: Input, following: NextRun) -> Work:
    earlier = work.successors[-1] if work.successors else work
    thread = replace(earlier.thread, agent_id=following.agent_id, latest_run_id=following.run_id)
    moved = replace(
        unread,
        run_id=following.run_id,
        disposition=InputDisposition.QUEUED,
        blocked_by=(),
        next_run=None,
    )
    dispatch = Dispatch(
        tenant=thread.tenant,
        dispatch_id=following.dispatch_id,
        thread_id=thread.thread_id,
        run_id=following.run_id,
        kind=DispatchKind.START,
        epoch=thread.epoch,
        priority=following.priority,
        seq=following.seq,
        available_at=work.now,
        created_at=work.now,
        traceparent=following.traceparent,
    )
    run = _run(work, unread, following)
    queued = Work(work.now, thread, run, dispatches=(dispatch,), inputs=(moved,))
    queued = queued.emit(RunQueued(dispatch.dispatch_id, run.agent_id))
    queued = queued.emit(InputQueued(moved.input_id))
    return replace(work, successors=(*work.successors, queued))


def _run(work: Work, unread: Input, following: NextRun) -> Run:
    return Run(
        tenant=unread.tenant,
        run_id=following.run_id,
        thread_id=unread.thread_id,
        agent_id=following.agent_id,
        spec_digest=following.spec_digest,
        registry_version=following.registry_version,
        deadline_at=work.now + timedelta(seconds=MAX_DEADLINE_S),
        created_at=work.now,
        max_rounds=following.max_rounds,
        max_total_tokens=following.max_total_tokens,
        dispatch_id=following.dispatch_id,
        priority=following.priority,
        principal=following.principal,
        traceparent=following.traceparent,
    )
