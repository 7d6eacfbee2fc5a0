"""Parking: a run that waits has no lease and no dispatch, and a cause queues its continuation.

Its deadline stands still meanwhile, since a wait takes nothing of the server.

A run parks in the transaction that found nothing to continue with: causes that are stored already
are applied before, so that none is missed. A cause that arrives later finds the run waiting, and
queues its continuation in the transaction that stores the cause.
"""

from __future__ import annotations

from dataclasses import replace

from services.chassis.ids import IdSource
from services.runcontrol.core.events import RunParked
from services.runcontrol.core.exchange import Call, CallState, TicketKind
from services.runcontrol.core.model import (
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
    """Let the run wait for its unsettled calls; end its dispatch and its lease."""
    reasons = waiting_reasons(work)
    work = work.with_dispatch(replace(work.claimed(), state=DispatchState.ACKED))
    work = replace(work, lease=None).on_thread(active_run_id="")
    work = work.on_run(
        state=RunState.WAITING,
        waiting=reasons,
        dispatch_id="",
        paused_at=work.now,
    )
    return work.emit(RunParked(reasons))


def waiting_reasons(work: Work) -> tuple[WaitingReason, ...]:
    """What the unsettled calls of the step wait for."""
    return tuple(_reason(work, call) for call in work.calls if not call.settled)


def _reason(work: Work, call: Call) -> WaitingReason:
    ticket = work.ticket_of(call.call_id)
    if call.reconciling and ticket is not None:
        return WaitingReason(WaitingKind.RECONCILE, call.call_id, ticket.ticket_id)
    if call.state is CallState.GATED and ticket is not None:
        return WaitingReason(WaitingKind.APPROVAL, call.call_id, ticket.ticket_id)
    if call.state is CallState.SUSPENDED and ticket is not None:
        of_tool = ticket.kind is TicketKind.TOOL_INPUT
        kind = WaitingKind.TOOL_INPUT if of_tool else WaitingKind.USER_INPUT
        return WaitingReason(kind, call.call_id, ticket.ticket_id)
    if call.state is CallState.SUSPENDED:
        return WaitingReason(WaitingKind.WAKE, call.call_id, condition_id=call.condition_id)
    return WaitingReason(WaitingKind.TOOL, call.call_id, until=call.timeout_at)


def wait_for_person(work: Work, call: Call) -> Work:
    """Let a waiting run wait for the ticket of ``call`` instead of for its worker.

    A run that does not wait is returned unchanged: its next park finds the ticket.
    """
    if work.run.state is not RunState.WAITING or work.run.dispatch_id:
        return work
    others = tuple(each for each in work.run.waiting if each.call_id != call.call_id)
    reasons = (*others, _reason(work, call))
    work = work.on_run(waiting=reasons)
    return work.emit(RunParked(reasons))


def resolve(work: Work, call_id: str, cause: Cause, ids: IdSource) -> Work:
    """Remove the waits for ``call_id`` from a waiting run and queue its continuation.

    A run that does not wait is returned unchanged: its next ``advance`` finds what changed.
    """
    if work.run.state is not RunState.WAITING:
        return work
    left = tuple(reason for reason in work.run.waiting if reason.call_id != call_id)
    return ensure_continuation(work.on_run(waiting=left), cause, ids)


def ensure_continuation(work: Work, cause: Cause, ids: IdSource) -> Work:
    """Queue the run's continuation; if one is queued already, add the cause to it."""
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
