"""``runyard dead``: what ended with an error."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.base.messages import as_json, moment
from services.cli.base.terminal import Output, Terminal
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, OutputOption
from services.cli.talk.paging import first, pages

_COLUMNS = ("DISPATCH", "RUN", "ERROR", "ATTEMPTS", "SINCE")
_PAGE_SIZE = 200


def dead(
    thread: Annotated[str, typer.Option("--thread", metavar="ID", help="Only of this.")] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=0, metavar="N", help="At most this many; 0 for all.")
    ] = 20,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List dead letters, oldest first: runs that ended with an error, and were not redriven.

    Example: runyard dead
    """
    request = service_pb.ListDeadDispatchesRequest(
        thread_id=thread, page_size=min(limit, _PAGE_SIZE) or _PAGE_SIZE
    )

    async def work(terminal: Terminal) -> None:
        async with clients("dead", endpoint) as stubs:
            listing = pages(stubs, "runcontrol", stubs.runcontrol.ListDeadDispatches, request)
            found, more = await first(limit, listing, lambda page: page.dispatches)
        rows = [
            (
                each.dispatch_id,
                each.run_id,
                each.last_error,
                str(each.attempt),
                moment(each.available_time),
            )
            for each in found
        ]
        if rows:
            terminal.table(_COLUMNS, rows)
        else:
            terminal.note("no dead letter")
        if more:
            terminal.note("there are more; --limit 0 shows all")
        terminal.data({"dispatches": [as_json(each) for each in found], "more": more})

    run(output, work)
