"""Tickets: what runs ask people, and the answers."""

from __future__ import annotations

from enum import StrEnum
from uuid import uuid4

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.base.exits import CliError
from services.cli.base.prefixes import is_ticket_prefix, only_ticket
from services.cli.base.terminal import Terminal
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


async def whole_ticket_id(stubs: Clients, typed: str) -> str:
    """The open ticket whose id begins with ``typed``; ``typed`` itself when there is none.

    Raises:
        CliError: There are several.
    """
    if not is_ticket_prefix(typed):
        return typed
    return only_ticket(typed, [ticket.ticket_id for ticket in await open_tickets(stubs)])


async def ticket_named(stubs: Clients, typed: str) -> pb.Ticket:
    """The ticket with this id, or the open one whose id begins so.

    Raises:
        CliError: There is none, or there are several.
    """
    ticket_id = await whole_ticket_id(stubs, typed)
    request = service_pb.GetTicketRequest(ticket_id=ticket_id)
    answer = await stubs.call("runcontrol", stubs.runcontrol.GetTicket, request)
    return answer.ticket


async def submit_decision(
    stubs: Clients, ticket_id: str, verdict: VerdictName, *, reason: str = "", decision_id: str = ""
) -> service_pb.SubmitDecisionResponse:
    approved = pb.Verdict(approve=pb.Approve())
    denied = pb.Verdict(deny=pb.Deny(reason=reason))
    decided = approved if verdict is VerdictName.APPROVE else denied
    return await submit_verdict(stubs, ticket_id, decided, comment=reason, decision_id=decision_id)


async def submit_verdict(
    stubs: Clients, ticket_id: str, verdict: pb.Verdict, *, comment: str = "", decision_id: str = ""
) -> service_pb.SubmitDecisionResponse:
    request = service_pb.SubmitDecisionRequest(
        ticket_id=ticket_id,
        decision_id=decision_id or f"cli-{uuid4()}",
        verdict=verdict,
        comment=comment,
    )
    return await stubs.call("runcontrol", stubs.runcontrol.SubmitDecision, request)


def show_outcome(answer: service_pb.SubmitDecisionResponse, terminal: Terminal) -> None:
    """Raises:
    CliError: Another decision won, or the ticket is not open any more.
    """
    outcome = answer.outcome
    decided = answer.ticket.decision
    verdict = decided.verdict.WhichOneof("verdict") or "nothing"
    if outcome == service_pb.DECISION_OUTCOME_CONFLICT:
        raise CliError(
            f"decided before: {verdict} by {decided.decided_by or 'somebody'}", reason="CONFLICT"
        )
    if outcome == service_pb.DECISION_OUTCOME_STALE:
        raise CliError(f"too late: {answer.stale_reason}", reason="STALE")
    again = " (it was accepted before)" if outcome == service_pb.DECISION_OUTCOME_DUPLICATE else ""
    terminal.line(("decided: ", "bold"), (verdict, "bold green"), again)
