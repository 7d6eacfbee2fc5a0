"""What is measured of runs, by what a committed transaction has changed."""

from __future__ import annotations

from collections.abc import Iterable

from services.runcontrol.core.events import (
    AttemptFailed,
    RunFinished,
    RunParked,
    TicketDecided,
    TicketExpired,
    TicketOpened,
    TicketVoided,
    ToolCallSettled,
)
from services.runcontrol.core.exchange import TicketKind
from services.runcontrol.core.work import Work
from services.runcontrol.store import telemetry_names as names


def record(changes: Iterable[tuple[Work, Work]]) -> None:
    """Measure what lies between the states of runs before and after a transaction."""
    for before, after in changes:
        for event in after.events:
            _record_event(after, event.kind)
        dispatch = before.dispatch
        if before.lease is None and after.lease is not None and dispatch is not None:
            names.CLAIMED.record((after.now - dispatch.available_at).total_seconds())


def _record_event(after: Work, kind: object) -> None:
    if isinstance(kind, RunFinished):
        reason = {names.REASON: kind.termination.reason.value}
        names.FINISHED.add(1, reason)
        names.DURATION.record((after.now - after.run.created_at).total_seconds(), reason)
    elif isinstance(kind, RunParked):
        for each in kind.reasons:
            names.PARKED.add(1, {names.REASON: each.kind.value})
    elif isinstance(kind, AttemptFailed):
        names.ATTEMPTS.add(
            1, {names.RETRY_CLASS: kind.retry_class, names.WILL_RETRY: kind.will_retry}
        )
        if kind.reason == "LEASE_LOST":
            names.LOST.add(1)
    elif isinstance(kind, ToolCallSettled):
        _record_call(after, kind)
    elif isinstance(kind, TicketOpened):
        names.OPENED.add(1, {names.TICKET_KIND: kind.ticket.kind.value})
        if kind.ticket.kind is TicketKind.RECONCILE:
            names.UNKNOWN.add(1)
    elif isinstance(kind, TicketDecided | TicketExpired | TicketVoided):
        _record_end(after, kind)


def _record_end(after: Work, ended: TicketDecided | TicketExpired | TicketVoided) -> None:
    ticket = next(each for each in after.tickets if each.ticket_id == ended.ticket_id)
    if isinstance(ended, TicketVoided) and ticket.winner is not None:
        return  # it was decided before, which ended it
    outcome = "expired" if isinstance(ended, TicketExpired) else "void"
    if isinstance(ended, TicketDecided):
        outcome = ended.decision.verdict.kind.value
    attributes = {names.TICKET_KIND: ticket.kind.value, names.TICKET_OUTCOME: outcome}
    names.CLOSED.add(1, attributes)
    names.DECIDED.record((after.now - ticket.created_at).total_seconds(), attributes)


def _record_call(after: Work, settled: ToolCallSettled) -> None:
    calls = (*after.past_calls, *after.calls)
    call = next(each for each in calls if each.call_id == settled.call_id)
    names.CALLS.add(
        1,
        {names.EFFECT_CLASS: call.effect_class.value, names.OUTCOME: settled.state.value},
    )
