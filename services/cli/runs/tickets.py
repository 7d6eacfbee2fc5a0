"""Tickets: what runs ask people, and the answers."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from uuid import uuid4

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.messages import short_name
from services.cli.base.prefixes import is_ticket_prefix, only_ticket
from services.cli.base.terminal import Terminal
from services.cli.talk.clients import Clients
from services.cli.talk.paging import pages
from services.content.verdicts import APPLICABLE, misfit

_PAGE_SIZE = 200


class VerdictName(StrEnum):
    """What a person can decide, named as in the contract."""

    APPROVE = "approve"
    APPROVE_EDITED = "approve_edited"
    DENY = "deny"
    ANSWER = "answer"
    PASS_TO_TOOL = "pass_to_tool"  # noqa: S105  # the name of a verdict, not a secret
    CANCEL_CALL = "cancel_call"
    CANCEL_RUN = "cancel_run"
    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did_not_happen"
    ABANDON = "abandon"


def verdict_of(name: VerdictName, *, reason: str, arguments: str, content: str) -> pb.Verdict:
    """The verdict with what it says.

    Raises:
        CliError: It lacks what it has to say, or something is given that it does not say.
    """
    takes = {VerdictName.APPROVE_EDITED: "--arguments", VerdictName.ANSWER: "--content"}
    takes |= dict.fromkeys((VerdictName.HAPPENED, VerdictName.PASS_TO_TOOL), "--content")
    for option, value in (("--arguments", arguments), ("--content", content)):
        if bool(value) != (takes.get(name) == option):
            needs = "does not take" if value else "needs"
            raise CliError(
                f"{name} {needs} {option}", reason="INVALID_OPTION", exit_code=EXIT_USAGE
            )
    match name:
        case VerdictName.APPROVE_EDITED:
            return pb.Verdict(approve_edited=pb.ApproveEdited(arguments_json=arguments))
        case VerdictName.DENY:
            return pb.Verdict(deny=pb.Deny(reason=reason))
        case VerdictName.ANSWER:
            return pb.Verdict(answer=pb.Answer(content=content))
        case VerdictName.PASS_TO_TOOL:
            return pb.Verdict(pass_to_tool=pb.PassToTool(payload_json=content))
        case VerdictName.HAPPENED:
            return pb.Verdict(happened=pb.Happened(content=content))
        case _:
            verdict = pb.Verdict()
            getattr(verdict, name).SetInParent()
            return verdict


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


async def late_results(stubs: Clients, ticket: pb.Ticket) -> Sequence[pb.LateResult]:
    """What workers reported of a call that a person is asked about."""
    if ticket.kind != pb.Ticket.KIND_RECONCILE:
        return ()
    request = service_pb.GetTicketRequest(ticket_id=ticket.ticket_id)
    found = await stubs.call("runcontrol", stubs.runcontrol.GetTicket, request)
    return found.tool_call.late_results


async def submit_decision(
    stubs: Clients, ticket_id: str, verdict: pb.Verdict, *, comment: str = "", decision_id: str = ""
) -> service_pb.SubmitDecisionResponse:
    """Decide a ticket.

    Raises:
        CliError: The verdict does not decide tickets of this kind, or the server refused.
    """
    wanted = service_pb.GetTicketRequest(ticket_id=ticket_id)
    found = await stubs.call("runcontrol", stubs.runcontrol.GetTicket, wanted)
    kind = short_name(pb.Ticket.Kind.DESCRIPTOR, found.ticket.kind)
    name = verdict.WhichOneof("verdict") or ""
    # A kind of a newer server is left to it.
    if kind in APPLICABLE and (text := misfit(name, kind)):
        raise CliError(text, reason="VERDICT_NOT_APPLICABLE")
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
