"""``runyard decide``: a person's answer to a ticket."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.base.exits import CliError
from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal
from services.cli.runs.tickets import VerdictName, submit_decision, verdict_of
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, OutputOption


def decide(
    ticket: Annotated[str, typer.Argument(help="The ticket's id.")],
    verdict: Annotated[
        VerdictName, typer.Argument(help="What to say; which fit depends on the ticket's kind.")
    ],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; the model reads it when you deny.")
    ] = "",
    arguments: Annotated[
        str,
        typer.Option(
            "--arguments", metavar="JSON", help="With approve_edited: all arguments of the call."
        ),
    ] = "",
    content: Annotated[
        str,
        typer.Option("--content", metavar="TEXT", help="With answer and happened: the result."),
    ] = "",
    decision_id: Annotated[
        str,
        typer.Option("--decision-id", help="Makes a repeat of this decision harmless; made up."),
    ] = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Decide a ticket. Exactly one decision wins; losing against another one is exit code 1.

    An approval takes approve, approve_edited, deny, answer, cancel_call or cancel_run; a question
    answer, deny, cancel_call or cancel_run; a reconciliation happened, did_not_happen, abandon or
    cancel_run.

    Example: runyard decide 4f0c… approve --reason "checked the recipient"

    Example: runyard decide 4f0c… approve_edited --arguments '{"to": "ann"}'
    """

    async def work(terminal: Terminal) -> None:
        said = verdict_of(verdict, reason=reason, arguments=arguments, content=content)
        async with clients("decide", endpoint) as stubs:
            answer = await submit_decision(
                stubs, ticket, said, comment=reason, decision_id=decision_id
            )
        terminal.data(as_json(answer))
        _show_outcome(answer, terminal)

    run(output, work)


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
