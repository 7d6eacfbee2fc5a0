"""Ending a run: settle its calls, void its tickets, end its dispatch, free its thread."""

from __future__ import annotations

from dataclasses import replace

from services.content.model import Message, Role, ToolResult
from services.runcontrol.core.child_runs import cancel_child, tell_parent
from services.runcontrol.core.commands import CancelWakeCommand, Effect
from services.runcontrol.core.events import RunFinished, TicketVoided, ToolCallSettled
from services.runcontrol.core.exchange import (
    REPEATS_ARE_EFFECTS,
    Call,
    CallState,
    TicketState,
)
from services.runcontrol.core.model import (
    DispatchState,
    MessageOrigin,
    Phase,
    RunState,
    Termination,
    TerminationReason,
)
from services.runcontrol.core.succeeding import hand_over_inputs
from services.runcontrol.core.work import Work

# In these states a call may have had an effect of which no result has arrived.
_EFFECT_UNKNOWN = frozenset({CallState.DISPATCHED, CallState.ACCEPTED})

_DISPATCH_END = {
    TerminationReason.CANCELLED: DispatchState.CANCELLED,
    TerminationReason.SUPERSEDED: DispatchState.SUPERSEDED,
    TerminationReason.ERROR: DispatchState.DEAD,
    TerminationReason.DEAD_LETTER: DispatchState.DEAD,
}


def finish(work: Work, termination: Termination) -> Work:
    """End the run in one change, with its last event; pending inputs go to the runs after it."""
    work = _void_tickets(_give_up_calls(work), termination)
    work = _free_thread(_end_dispatch(work, termination))
    unknown = tuple(c.call_id for c in work.calls if c.state is CallState.UNKNOWN)
    work = replace(work, lease=None).on_run(
        state=RunState.DONE,
        termination=termination,
        waiting=(),
        dispatch_id="",
        paused_at=None,
        ended_at=work.now,
    )
    work, run = tell_parent(work, termination), work.run
    ended = work.emit(RunFinished(termination, run.usage, run.output_text, unknown))
    return hand_over_inputs(ended)


def settle_call(work: Work, call: Call, state: CallState, result: str) -> Work:
    """Set the final state and the result of a call."""
    settled = replace(
        call,
        state=state,
        result=result,
        probe_until=None,
        withheld_from="",
        settled_at=work.now,
    )
    return work.with_call(settled).emit(ToolCallSettled(call.call_id, state, result))


def cancel_wake(work: Work, call: Call, trace: str) -> Work:
    """Tell the pool that the call does not wait any more; not if its wake has arrived."""
    if not call.condition_id or work.wake_of(call.condition_id) is not None:
        return work
    command = CancelWakeCommand(
        call.tenant,
        work.run.principal,
        call.run_id,
        call.call_id,
        call.pool_id,
        call.condition_id,
    )
    return work.effect(Effect(command, trace))


def append_results(work: Work) -> Work:
    """Append one message with the results of the calls that the assistant message asked for."""
    results = tuple(
        ToolResult(c.model_call_id, c.result, is_error=c.state is not CallState.SUCCEEDED)
        for c in work.calls
        if c.model_call_id
    )
    return work.append(MessageOrigin.TOOL, Message(Role.TOOL, results)) if results else work


def _give_up_calls(work: Work) -> Work:
    open_calls = [call for call in work.calls if not call.settled]
    for call in open_calls:
        state = CallState.UNKNOWN if _may_have_happened(call) else CallState.CANCELLED
        work = cancel_wake(cancel_child(work, call), call, call.traceparent)
        work = settle_call(work, call, state, "the run ended before this call had a result")
    # Providers refuse a conversation with a call that has no result, so the thread's next run
    # could not call its model.
    return append_results(work) if work.run.phase is Phase.CALLS else work


def _may_have_happened(call: Call) -> bool:
    """Whether a call without a result may have taken effect, or may still do so."""
    if call.timeout_ms:
        accepted = call.state is CallState.ACCEPTED and call.effect_class in REPEATS_ARE_EFFECTS
        return accepted or call.reconciling
    return call.state in _EFFECT_UNKNOWN and not call.child_run_id


def _void_tickets(work: Work, termination: Termination) -> Work:
    reasons = {
        TerminationReason.CANCELLED: "cancelled",
        TerminationReason.SUPERSEDED: "superseded",
    }
    reason = reasons.get(termination.reason, "run_done")
    for ticket in work.tickets:
        if ticket.state in (TicketState.OPEN, TicketState.DECIDED):
            void = replace(ticket, state=TicketState.VOID, void_reason=reason)
            work = work.with_ticket(void).emit(TicketVoided(ticket.ticket_id, reason))
    return work


def _end_dispatch(work: Work, termination: Termination) -> Work:
    dispatch = work.dispatch
    if dispatch is None:
        return work
    state = _DISPATCH_END.get(termination.reason, DispatchState.ACKED)
    return work.with_dispatch(
        replace(dispatch, state=state, last_error=termination.error_reason or dispatch.last_error)
    )


def _free_thread(work: Work) -> Work:
    """Clear the thread's references to the run; those to other runs stay."""
    run_id, thread = work.run.run_id, work.thread
    return work.on_thread(
        active_run_id="" if thread.active_run_id == run_id else thread.active_run_id,
        open_run_id="" if thread.open_run_id == run_id else thread.open_run_id,
    )
