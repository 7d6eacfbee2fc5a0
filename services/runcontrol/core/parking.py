"""Waiting without holding anything, and what ends a wait.

A run parks in the transaction that found nothing it could go on with: a cause that is there
already is applied before, so that none is lost between looking and parking. A cause that comes
later finds the run waiting and queues its continuation in the transaction that stores it.
"""

from __future__ import annotations

from dataclasses import replace

from services.chassis.ids import IdSource
from services.runcontrol.core.events import RunParked
from services.runcontrol.core.exchange import Call, CallState
from services.runcontrol.core.model import (
    HUMAN_WAITS,
    Cause,
    Dispatch,
    DispatchKind,
    DispatchState,
    RunState,
    WaitingKind,
    WaitingReason,
)
from services.runcontrol.core.work import Work

MAX_CAUSES = 16


def park(work: Work) -> Work:
    """Put the run to rest on its unsettled calls: dispatch acknowledged, lease gone."""
    reasons = tuple(_reason(work, call) for call in work.calls if not call.settled)
    human = all(reason.kind in HUMAN_WAITS for reason in reasons)
    work = work.with_dispatch(replace(work.claimed(), state=DispatchState.ACKED))
    work = replace(work, lease=None).on_thread(active_run_id="")
    work = work.on_run(
        state=RunState.WAITING,
        waiting=reasons,
        dispatch_id="",
        paused_at=work.now if human else None,
    )
    return work.emit(RunParked(reasons))


def _reason(work: Work, call: Call) -> WaitingReason:
    ticket = work.ticket_of(call.call_id)
    if call.state is CallState.GATED and ticket is not None:
        return WaitingReason(WaitingKind.APPROVAL, call.call_id, ticket.ticket_id)
    if call.state is CallState.SUSPENDED and ticket is not None:
        return WaitingReason(WaitingKind.USER_INPUT, call.call_id, ticket.ticket_id)
    if call.state is CallState.SUSPENDED:
        return WaitingReason(WaitingKind.WAKE, call.call_id, condition_id=call.condition_id)
    return WaitingReason(WaitingKind.TOOL, call.call_id)


def resolve(work: Work, call_id: str, cause: Cause, ids: IdSource) -> Work:
    """Take the waits on ``call_id`` off a waiting run and see that it continues.

    A run that executes finds what changed at its next commit; nothing has to be queued.
    """
    if work.run.state is not RunState.WAITING:
        return work
    left = tuple(reason for reason in work.run.waiting if reason.call_id != call_id)
    return ensure_continuation(work.on_run(waiting=left), cause, ids)


def ensure_continuation(work: Work, cause: Cause, ids: IdSource) -> Work:
    """Queue the run's continuation, at most one; further causes join the one that is queued."""
    queued = work.dispatch
    if queued is not None:
        causes = (*queued.causes, cause)[:MAX_CAUSES]
        return work.with_dispatch(replace(queued, causes=causes))
    seq = work.thread.input_seq + 1
    dispatch = Dispatch(
        tenant=work.run.tenant,
        dispatch_id=ids.new_id(),
        thread_id=work.run.thread_id,
        run_id=work.run.run_id,
        kind=DispatchKind.CONTINUE,
        epoch=work.thread.epoch,
        priority=work.run.priority,
        seq=seq,
        available_at=work.now,
        created_at=work.now,
        causes=(cause,),
        traceparent=cause.traceparent,
    )
    queued_work = work.with_dispatch(dispatch).on_thread(input_seq=seq)
    return queued_work.on_run(dispatch_id=dispatch.dispatch_id)
