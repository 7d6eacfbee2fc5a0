"""Input of a run that waits: it ends the waits that a message can end, and no others.

| the run waits for | input |
|---|---|
| a wake | settles the call CANCELLED; the pool is told that nobody waits any more |
| an answer to a question | is the answer: the call succeeds, and the input follows its result |
| the next attempt | starts it at once |
| an approval, a reconciliation, a question of a tool | stays pending until it is decided, or void |
| a call that executes elsewhere | stays pending until the call is settled |

One wait that input cannot end keeps all of them: the run goes on once, with everything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.chassis.ids import IdSource
from services.runcontrol.core.events import RunWoken, TicketVoided
from services.runcontrol.core.exchange import CallState, TicketState
from services.runcontrol.core.finishing import cancel_wake, settle_call
from services.runcontrol.core.model import (
    Cause,
    InputDisposition,
    WaitingKind,
    WaitingReason,
)
from services.runcontrol.core.parking import ensure_continuation, waiting_reasons
from services.runcontrol.core.work import Work

# Why a ticket is void that input has made obsolete.
VOID_REASON = "input"

_PEOPLE = frozenset({WaitingKind.APPROVAL, WaitingKind.RECONCILE, WaitingKind.TOOL_INPUT})
_WITHDRAWN = "withdrawn: the user said something else instead"
_NOT_AWAITED = "cancelled: the user said something before it happened"
_ANSWERED = "answered by the message that follows"


@dataclass(frozen=True, slots=True)
class Blocked:
    """What keeps a run from going on with its input; ``ids`` is empty for RESUMED."""

    disposition: InputDisposition
    ids: tuple[str, ...] = ()


def blocked_by(reasons: tuple[WaitingReason, ...]) -> Blocked:
    """What of these waits input cannot end; tickets come before calls."""
    tickets = tuple(reason.ticket_id for reason in reasons if reason.kind in _PEOPLE)
    if tickets:
        return Blocked(InputDisposition.BLOCKED_BY_TICKETS, tickets)
    calls = tuple(reason.call_id for reason in reasons if reason.kind is WaitingKind.TOOL)
    if calls:
        return Blocked(InputDisposition.BLOCKED_BY_CALLS, calls)
    return Blocked(InputDisposition.RESUMED)


def resume_with_input(
    work: Work, ids: IdSource, trace: str, *, void_tickets: bool
) -> tuple[Work, Blocked]:
    """Let a waiting run continue, unless a wait is left that its input cannot end.

    Args:
        void_tickets: Void open approvals first; their calls end CANCELLED.
    """
    if void_tickets:
        work = _void_approvals(work)
    blocked = blocked_by(work.run.waiting)
    if blocked.ids:
        return work, blocked
    work = end_waits(work, work.run.waiting, trace).on_run(waiting=())
    work = _at_once(work).emit(RunWoken("input", "", None, trace))
    return ensure_continuation(work, Cause("input", trace), ids), blocked


def make_way_for_input(work: Work, trace: str) -> Work:
    """End the waits of a run that is about to park although it has input, if input can end all."""
    reasons = waiting_reasons(work)
    if not work.inputs or blocked_by(reasons).ids:
        return work
    return end_waits(work, reasons, trace)


def end_waits(work: Work, reasons: tuple[WaitingReason, ...], trace: str) -> Work:
    """Settle the calls that wait for a wake or for an answer."""
    for reason in reasons:
        if reason.kind is WaitingKind.WAKE:
            call = work.call(reason.call_id)
            work = cancel_wake(work, call, trace)
            work = settle_call(work, call, CallState.CANCELLED, _NOT_AWAITED)
        elif reason.kind is WaitingKind.USER_INPUT:
            work = _void(work, reason.ticket_id)
            call = work.call(reason.call_id)
            work = settle_call(work, call, CallState.SUCCEEDED, _ANSWERED)
    return work


def _void_approvals(work: Work) -> Work:
    approvals = [r for r in work.run.waiting if r.kind is WaitingKind.APPROVAL]
    for reason in approvals:
        work = _void(work, reason.ticket_id)
        call = work.call(reason.call_id)
        work = settle_call(work, call, CallState.CANCELLED, _WITHDRAWN)
    left = tuple(reason for reason in work.run.waiting if reason not in approvals)
    return work.on_run(waiting=left)


def _void(work: Work, ticket_id: str) -> Work:
    ticket = next(each for each in work.tickets if each.ticket_id == ticket_id)
    void = replace(ticket, state=TicketState.VOID, void_reason=VOID_REASON)
    return work.with_ticket(void).emit(TicketVoided(ticket_id, VOID_REASON))


def _at_once(work: Work) -> Work:
    """Let a queued continuation start now, whatever pause was left."""
    queued = work.dispatch
    return work if queued is None else work.with_dispatch(replace(queued, available_at=work.now))
