"""``runyard answer``: a person's answer to a question of an agent or of a tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.messages import as_json, short_name
from services.cli.base.terminal import Output, Terminal, read_input
from services.cli.runs.tickets import show_outcome, submit_decision, ticket_named
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, OutputOption

# What decides the tickets that ask for no answer.
_INSTEAD: Mapping[int, str] = {
    pb.Ticket.KIND_APPROVAL: "runyard decide {} approve|deny",
    pb.Ticket.KIND_RECONCILE: "runyard decide {} happened|did_not_happen|abandon",
}


def answer(
    ticket: Annotated[
        str, typer.Argument(help="The ticket's id, or its first 6 characters or more.")
    ],
    text: Annotated[str, typer.Argument(help="The answer; - reads standard input.")],
    *,
    as_value: Annotated[
        bool, typer.Option("--json", help="It is a JSON value; for questions of tools.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")] = "",
    decision_id: Annotated[
        str,
        typer.Option("--decision-id", help="Makes a repeat of this answer harmless; made up."),
    ] = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Answer a question of an agent or of a tool. Exactly one answer wins; losing against another
    one is exit code 1.

    Example: runyard answer t-4f0c… "the blue one"
    """
    said = read_input() if text == "-" else text

    async def work(terminal: Terminal) -> None:
        async with clients("answer", endpoint) as stubs:
            found = await ticket_named(stubs, ticket)
            decided = await submit_decision(
                stubs,
                found.ticket_id,
                _verdict(found, said, as_value=as_value),
                comment=reason,
                decision_id=decision_id,
            )
        terminal.data(as_json(decided))
        show_outcome(decided, terminal)

    run(output, work)


def _verdict(ticket: pb.Ticket, said: str, *, as_value: bool) -> pb.Verdict:
    """Raises:
    CliError: The ticket asks for something else.
    """
    if ticket.kind in _INSTEAD:
        kind = short_name(pb.Ticket.Kind.DESCRIPTOR, ticket.kind)
        raise CliError(
            f"ticket {ticket.ticket_id} is of kind {kind}, and asks for no answer",
            reason="VERDICT_NOT_APPLICABLE",
            hint=_INSTEAD[ticket.kind].format(ticket.ticket_id),
            exit_code=EXIT_USAGE,
        )
    if not as_value:
        return pb.Verdict(answer=pb.Answer(content=said))
    if ticket.kind != pb.Ticket.KIND_TOOL_INPUT:
        raise CliError(
            f"the agent that asked in ticket {ticket.ticket_id} reads a text",
            reason="VERDICT_NOT_APPLICABLE",
            hint="leave out --json",
            exit_code=EXIT_USAGE,
        )
    return pb.Verdict(pass_to_tool=pb.PassToTool(payload_json=said))
