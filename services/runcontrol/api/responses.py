"""Results to responses, and the encoders that the core stores answers with."""

from __future__ import annotations

from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.runcontrol.api import tables as t
from services.runcontrol.api.cursors import encode_page_token
from services.runcontrol.api.requests import page_size, ticket_query
from services.runcontrol.api.resources import call_to_pb, run_to_pb, ticket_to_pb
from services.runcontrol.core.exchange import Ticket
from services.runcontrol.core.ports import RunView
from services.runcontrol.core.runcontrol import Cancelled, Encoders
from services.runcontrol.core.submission import Submitted
from services.runcontrol.core.tickets import Decided
from services.runcontrol.core.waking import WakeOutcome


def submitted_to_pb(submitted: Submitted) -> service.SubmitRunResponse:
    running = service.SUBMIT_DISPOSITION_RUNNING
    return service.SubmitRunResponse(
        run_id=submitted.run_id,
        thread_id=submitted.thread_id,
        dispatch_id=submitted.dispatch_id,
        disposition=running if submitted.running else service.SUBMIT_DISPOSITION_QUEUED,
        input_id=submitted.input_id,
    )


def view_to_pb(view: RunView) -> service.GetRunResponse:
    return service.GetRunResponse(
        run=run_to_pb(view.run),
        tool_calls=[call_to_pb(call) for call in view.calls],
        open_tickets=[ticket_to_pb(ticket) for ticket in view.open_tickets],
    )


def cancelled_to_pb(cancelled: Cancelled) -> service.CancelRunResponse:
    return service.CancelRunResponse(
        outcome=t.CANCEL_OUTCOME_TO_PB[cancelled.outcome],
        run=run_to_pb(cancelled.run) if cancelled.run else None,
    )


def decided_to_pb(decided: Decided) -> service.SubmitDecisionResponse:
    return service.SubmitDecisionResponse(
        outcome=t.DECISION_OUTCOME_TO_PB[decided.outcome],
        ticket=ticket_to_pb(decided.ticket),
        stale_reason=decided.why,
    )


def ticket_response(ticket: Ticket) -> service.GetTicketResponse:
    return service.GetTicketResponse(ticket=ticket_to_pb(ticket))


def tickets_to_pb(
    request: service.ListTicketsRequest, found: list[Ticket]
) -> service.ListTicketsResponse:
    """A page; ``found`` holds one ticket more when there is another page."""
    size = page_size(request.page_size)
    answer = service.ListTicketsResponse(tickets=[ticket_to_pb(each) for each in found[:size]])
    if len(found) > size:
        last = found[size - 1]
        token = encode_page_token(last.created_at, last.ticket_id, ticket_query(request))
        answer.next_page_token = token
    return answer


def woken_to_pb(outcome: WakeOutcome) -> service.DeliverWakeResponse:
    return service.DeliverWakeResponse(outcome=t.WAKE_OUTCOME_TO_PB[outcome])


ENCODERS = Encoders(
    submitted=lambda each: submitted_to_pb(each).SerializeToString(),
    cancelled=lambda each: cancelled_to_pb(each).SerializeToString(),
    decided=lambda each: decided_to_pb(each).SerializeToString(),
    woken=lambda each: woken_to_pb(each).SerializeToString(),
)
