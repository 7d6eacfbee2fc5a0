"""``runyard runs``: which runs there are, and how they go."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

import typer

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.base.messages import as_json, moment, short_name
from services.cli.base.terminal import Output, Terminal
from services.cli.runs.labels import labels_of
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, OutputOption
from services.cli.talk.paging import first, pages

_COLUMNS = ("RUN", "AGENT", "STATE", "WHAT", "BY", "ACCEPTED")
_PAGE_SIZE = 200


class StateName(StrEnum):
    """States of runs."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    CANCELLING = "cancelling"
    DONE = "done"


def runs(
    agent: Annotated[str, typer.Option("--agent", metavar="ID", help="Only of this agent.")] = "",
    thread: Annotated[
        str, typer.Option("--thread", metavar="ID", help="Only of this thread.")
    ] = "",
    state: Annotated[
        list[StateName] | None, typer.Option("--state", help="Only in this state; may be repeated.")
    ] = None,
    by: Annotated[
        str, typer.Option("--by", metavar="NAME", help="Only those that this principal submitted.")
    ] = "",
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", metavar="NAME=VALUE", help="Only with this label; may be repeated."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=0, metavar="N", help="At most this many; 0 for all.")
    ] = 20,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List runs, newest first: agent, state, what each waits for or how it ended.

    Examples: runyard runs

    runyard runs --agent scout --state waiting
    """
    request = service_pb.ListRunsRequest(
        agent_id=agent,
        thread_id=thread,
        submitted_by=by,
        states=[f"STATE_{each.name}" for each in state or ()],
        labels=labels_of(label or ()),
        page_size=min(limit, _PAGE_SIZE) or _PAGE_SIZE,
    )

    async def work(terminal: Terminal) -> None:
        async with clients("runs", endpoint) as stubs:
            listing = pages(stubs, "runcontrol", stubs.runcontrol.ListRuns, request)
            found, more = await first(limit, listing, lambda page: page.runs)
        show_runs(found, terminal)
        if more:
            terminal.note("there are more; --limit 0 shows all")
        terminal.data({"runs": [as_json(each) for each in found], "more": more})

    run(output, work)


def show_runs(found: Iterable[pb.Run], terminal: Terminal) -> None:
    rows = [
        (
            each.run_id,
            each.agent_id,
            short_name(pb.Run.State.DESCRIPTOR, each.state),
            _what(each),
            each.submitted_by,
            moment(each.create_time),
        )
        for each in found
    ]
    if rows:
        terminal.table(_COLUMNS, rows, wrapping="WHAT")
    else:
        terminal.note("no run")


def _what(run: pb.Run) -> str:
    """What a run waits for, or how it ended."""
    if run.state == pb.Run.STATE_DONE:
        ended = short_name(pb.TerminationReason.DESCRIPTOR, run.termination.reason)
        return f"{ended.replace('_', ' ')} {run.termination.error_reason}".strip()
    kinds = (short_name(pb.WaitingKind.DESCRIPTOR, each.kind) for each in run.waiting_reasons)
    return ", ".join(sorted({kind.replace("_", " ") for kind in kinds}))
