"""``runyard tickets`` and ``decide``: what runs ask people, and the answers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated

import typer

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from services.cli.base.messages import as_json, short_name
from services.cli.base.prefixes import is_prefix
from services.cli.base.terminal import Output, Terminal
from services.cli.runs.ticket_watch import TicketWatch
from services.cli.runs.tickets import late_results, open_tickets
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, OutputOption


def tickets(
    run_id: Annotated[
        str,
        typer.Option("--run", metavar="ID", help="Only of this run, or of those that begin so."),
    ] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Then follow what is opened and decided, until Ctrl-C.")
    ] = False,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List what waits for a decision, oldest first.

    With --watch it survives a restart of the server; in json each ticket is a value of its own,
    whenever it changes.

    Example: runyard tickets
    """

    async def work(terminal: Terminal) -> None:
        if watch:
            async with clients("tickets", endpoint) as stubs:
                await follow_tickets(TicketWatch(stubs), run_id, terminal)
            return
        async with clients("tickets", endpoint) as stubs:
            # The server knows whole ids only.
            waiting = await open_tickets(stubs, "" if is_prefix(run_id) else run_id)
            waiting = [one for one in waiting if one.run_id.startswith(run_id)]
            late = {each.ticket_id: await late_results(stubs, each) for each in waiting}
        for ticket in waiting:
            _show(ticket, late[ticket.ticket_id], terminal)
        if not waiting:
            terminal.line("nothing waits for a decision")
        terminal.data({"tickets": [as_json(t) for t in waiting]})

    run(output, work)


async def follow_tickets(watching: TicketWatch, run_id: str, terminal: Terminal) -> None:
    watching.on_outage = lambda: terminal.line(
        ("run control is away, trying again until it is back", "yellow")
    )
    async with aclosing(watching.tickets()) as changes:
        async for ticket in changes:
            if not ticket.run_id.startswith(run_id):
                continue
            terminal.data(as_json(ticket))
            if ticket.state == pb.Ticket.STATE_OPEN:
                _show(ticket, (), terminal)
            else:
                _show_end(ticket, terminal)


def _show_end(ticket: pb.Ticket, terminal: Terminal) -> None:
    """What has become of a ticket that is not open any more."""
    state = short_name(pb.Ticket.State.DESCRIPTOR, ticket.state)
    decided = ticket.decision
    verdict = decided.verdict.WhichOneof("verdict")
    how = f"{verdict} by {decided.decided_by or 'somebody'}" if verdict else ticket.void_reason
    terminal.line((ticket.ticket_id, "bold"), f"  {'decided' if verdict else state}: {how}")


def _show(ticket: pb.Ticket, late: Sequence[pb.LateResult], terminal: Terminal) -> None:
    kind = short_name(pb.Ticket.Kind.DESCRIPTOR, ticket.kind)
    since = f"{ticket.create_time.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"
    terminal.line((ticket.ticket_id, "bold"), f"  {kind}  since {since}")
    asked = ticket.question or f"may {ticket.agent_id} call {ticket.tool_id}?"
    terminal.prose(asked, lead=["  "], rest=["  "])
    if ticket.arguments_json:
        rest = f" … ({ticket.arguments_chars} characters)" if ticket.arguments_chars else ""
        terminal.line((f"  {ticket.arguments_json}{rest}", "dim"))
    for each in late:
        state = short_name(pb.ToolInvocation.State.DESCRIPTOR, each.state)
        who = each.worker_id or each.reported_by
        terminal.line(f"  {who} reported attempt {each.attempt} late: {state}  {each.text}")
    terminal.line((f"  run {ticket.run_id}", "dim"))
