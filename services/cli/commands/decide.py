"""``runyard decide``: a person's answer to a ticket."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal
from services.cli.runs.tickets import (
    VerdictName,
    show_outcome,
    submit_decision,
    verdict_of,
    whole_ticket_id,
)
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, OutputOption


def decide(
    ticket: Annotated[
        str, typer.Argument(help="The ticket's id, or its first 6 characters or more.")
    ],
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
        typer.Option(
            "--content",
            metavar="TEXT",
            help="With answer and happened: the result; with pass_to_tool: JSON for the tool.",
        ),
    ] = "",
    decision_id: Annotated[
        str,
        typer.Option("--decision-id", help="Makes a repeat of this decision harmless; made up."),
    ] = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Decide a ticket. Exactly one decision wins; losing against another one is exit code 1.

    An approval takes approve, approve_edited, pass_to_tool, deny, answer, cancel_call or
    cancel_run; a question of an agent answer, deny, cancel_call or cancel_run, one of a tool
    answer, pass_to_tool, cancel_call or cancel_run; a reconciliation happened, did_not_happen,
    abandon or cancel_run.

    Example: runyard decide 4f0c… approve --reason "checked the recipient"

    Example: runyard decide 4f0c… approve_edited --arguments '{"to": "ann"}'
    """

    async def work(terminal: Terminal) -> None:
        said = verdict_of(verdict, reason=reason, arguments=arguments, content=content)
        async with clients("decide", endpoint) as stubs:
            ticket_id = await whole_ticket_id(stubs, ticket)
            answer = await submit_decision(
                stubs, ticket_id, said, comment=reason, decision_id=decision_id
            )
        terminal.data(as_json(answer))
        show_outcome(answer, terminal)

    run(output, work)
