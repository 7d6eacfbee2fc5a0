"""``runyard tickets`` and ``decide``: what runs ask people, and the answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import uuid4

import typer
from google.protobuf.json_format import MessageToDict

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.clients import CALL_TIMEOUT_S, Clients
from services.cli.command import clients, run
from services.cli.exits import CliError
from services.cli.options import EndpointOption, OutputOption
from services.cli.reflect import short_name
from services.cli.terminal import Output, Terminal

_PAGE = 200


class VerdictName(StrEnum):
    """What the command can decide."""

    APPROVE = "approve"
    DENY = "deny"


def tickets(
    run_id: Annotated[str, typer.Option("--run", metavar="ID", help="Only of this run.")] = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List what waits for a decision, oldest first.

    Example: runyard tickets
    """

    async def work(terminal: Terminal) -> None:
        async with clients("tickets", endpoint) as found:
            waiting = await open_tickets(found, run_id)
        for ticket in waiting:
            _show(ticket, terminal)
        if not waiting:
            terminal.line("nothing waits for a decision")
        terminal.data(
            {"tickets": [MessageToDict(t, preserving_proto_field_name=True) for t in waiting]}
        )

    run(output, work)


def decide(
    ticket: Annotated[str, typer.Argument(help="The ticket's id.")],
    verdict: Annotated[VerdictName, typer.Argument(help="May the call run?")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; the model reads it when you deny.")
    ] = "",
    decision_id: Annotated[
        str,
        typer.Option("--decision-id", help="Makes a repeat of this decision harmless; made up."),
    ] = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Decide a ticket. Exactly one decision wins; losing against another one is exit code 1.

    Example: runyard decide 4f0c… approve --reason "checked the recipient"
    """

    async def work(terminal: Terminal) -> None:
        async with clients("decide", endpoint) as found:
            answer = await submit_decision(
                found, ticket, verdict, reason=reason, decision_id=decision_id
            )
        terminal.data(MessageToDict(answer, preserving_proto_field_name=True))
        _show_outcome(answer, terminal)

    run(output, work)


async def open_tickets(found: Clients, run_id: str = "") -> list[pb.Ticket]:
    """All of them, page by page."""
    waiting: list[pb.Ticket] = []
    request = service_pb.ListTicketsRequest(page_size=_PAGE)
    if run_id:
        request.run_id = run_id
    while True:
        with found.talking_to("runcontrol"):
            page = await found.runcontrol.ListTickets(request, timeout=CALL_TIMEOUT_S)
        waiting += page.tickets
        if not page.next_page_token:
            return waiting
        request.page_token = page.next_page_token


async def submit_decision(
    found: Clients, ticket_id: str, verdict: VerdictName, *, reason: str = "", decision_id: str = ""
) -> service_pb.SubmitDecisionResponse:
    request = service_pb.SubmitDecisionRequest(
        ticket_id=ticket_id,
        decision_id=decision_id or f"cli-{uuid4()}",
        verdict=pb.Verdict(approve=pb.Approve())
        if verdict is VerdictName.APPROVE
        else pb.Verdict(deny=pb.Deny(reason=reason)),
        comment=reason,
    )
    with found.talking_to("runcontrol"):
        return await found.runcontrol.SubmitDecision(request, timeout=CALL_TIMEOUT_S)


def _show(ticket: pb.Ticket, terminal: Terminal) -> None:
    kind = short_name(pb.Ticket.Kind.DESCRIPTOR, ticket.kind)
    since = f"{ticket.create_time.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"
    terminal.line((ticket.ticket_id, "bold"), f"  {kind}  since {since}")
    asked = ticket.question or f"may {ticket.agent_id} call {ticket.tool_id}?"
    terminal.line(f"  {asked}")
    if ticket.arguments_json:
        terminal.line((f"  {ticket.arguments_json}", "dim"))
    terminal.line((f"  run {ticket.run_id}", "dim"))


def _show_outcome(answer: service_pb.SubmitDecisionResponse, terminal: Terminal) -> None:
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
