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
    whole_ticket_id,
)
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, OutputOption


def decide(
    ticket: Annotated[
        str, typer.Argument(help="The ticket's id, or its first 6 characters or more.")
    ],
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
        async with clients("decide", endpoint) as stubs:
            ticket_id = await whole_ticket_id(stubs, ticket)
            answer = await submit_decision(
                stubs, ticket_id, verdict, reason=reason, decision_id=decision_id
            )
        terminal.data(as_json(answer))
        show_outcome(answer, terminal)

    run(output, work)
