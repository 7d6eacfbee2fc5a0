"""Tickets: what runs ask people, and the answers."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from uuid import uuid4

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.talk.clients import Clients
from services.cli.talk.paging import pages

_PAGE_SIZE = 200


class VerdictName(StrEnum):
    """What the command can decide."""

    APPROVE = "approve"
    DENY = "deny"


async def open_tickets(stubs: Clients, run_id: str = "") -> list[pb.Ticket]:
    """All of them, or those of one run."""
    request = service_pb.ListTicketsRequest(page_size=_PAGE_SIZE, run_id=run_id or None)
    listing = pages(stubs, "runcontrol", stubs.runcontrol.ListTickets, request)
    return [ticket async for page in listing for ticket in page.tickets]


async def late_results(stubs: Clients, ticket: pb.Ticket) -> Sequence[pb.LateResult]:
    """What workers reported of a call that a person is asked about."""
    if ticket.kind != pb.Ticket.KIND_RECONCILE:
        return ()
    request = service_pb.GetTicketRequest(ticket_id=ticket.ticket_id)
    found = await stubs.call("runcontrol", stubs.runcontrol.GetTicket, request)
    return found.tool_call.late_results


async def submit_decision(
    stubs: Clients, ticket_id: str, verdict: VerdictName, *, reason: str = "", decision_id: str = ""
) -> service_pb.SubmitDecisionResponse:
    request = service_pb.SubmitDecisionRequest(
        ticket_id=ticket_id,
        decision_id=decision_id or f"cli-{uuid4()}",
        verdict=pb.Verdict(approve=pb.Approve())
        if verdict is VerdictName.APPROVE
        else pb.Verdict(deny=pb.Deny(reason=reason)),
        comment=reason,
    )
    return await stubs.call("runcontrol", stubs.runcontrol.SubmitDecision, request)
