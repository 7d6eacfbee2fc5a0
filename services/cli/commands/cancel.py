"""``runyard cancel``: end a run."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal
from services.cli.runs.steering import cancel as cancel_run
from services.cli.runs.steering import outcome
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, OutputOption


def cancel(
    run_id: Annotated[str, typer.Argument(metavar="[RUN]", help="The run's id.")] = "",
    *,
    thread: Annotated[
        str,
        typer.Option("--thread", metavar="ID", help="What this thread does; its queue is kept."),
    ] = "",
    dispatch: Annotated[
        str, typer.Option("--dispatch", metavar="ID", help="The run of this dispatch.")
    ] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the run.")] = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Cancel a run, in any state; one that is over stays as it is.

    Example: runyard cancel 4f0c… --reason "asked the wrong question"
    """
    targets = {"run_id": run_id, "thread_id": thread, "dispatch_id": dispatch}
    named = {name: value for name, value in targets.items() if value}
    if len(named) != 1:
        raise typer.BadParameter("name a run, or one of --thread and --dispatch")
    request = service_pb.CancelRunRequest(reason=reason, **named)

    async def work(terminal: Terminal) -> None:
        async with clients("cancel", endpoint) as stubs:
            answer = await cancel_run(stubs, request)
        terminal.data(as_json(answer))
        if answer.HasField("run"):
            terminal.line("run ", (answer.run.run_id, "bold"), f": {outcome(answer)}")
        else:
            terminal.line(outcome(answer))

    run(output, work)
