"""``runyard interrupt``: stop what a thread does, and start over."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal, read_input
from services.cli.runs.steering import interrupt as interrupt_thread
from services.cli.runs.steering import stopped
from services.cli.runs.submit import messages
from services.cli.talk.command import clients, run
from services.cli.talk.options import (
    EndpointOption,
    MinIncarnationOption,
    MinVersionOption,
    OutputOption,
)


def interrupt(
    thread: Annotated[str, typer.Argument(help="The thread's id.")],
    text: Annotated[
        str, typer.Argument(help="What to say to a new run; - reads standard input.")
    ] = "",
    *,
    agent: Annotated[
        str, typer.Option("--agent", metavar="ID", help="The new run's; the thread's if left out.")
    ] = "",
    min_version: MinVersionOption = 0,
    min_incarnation: MinIncarnationOption = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Stop everything that a thread does and has queued, and start over if there is a text.

    Example: runyard interrupt 7b1e… "Forget the harbour, tell me about the lighthouse."
    """
    if agent and not text:
        raise typer.BadParameter("--agent needs a text")

    async def work(terminal: Terminal) -> None:
        said = messages(read_input() if text == "-" else text)
        request = service_pb.InterruptThreadRequest(
            thread_id=thread,
            messages=said,
            agent_id=agent,
            min_registry_version=min_version,
            min_registry_incarnation=min_incarnation,
        )
        async with clients("interrupt", endpoint) as stubs:
            answer = await interrupt_thread(stubs, request)
        terminal.data(as_json(answer))
        terminal.line(("stopped: ", "bold"), stopped(answer))
        if answer.new_run_id:
            terminal.line("run ", (answer.new_run_id, "bold"), " is queued")
            terminal.line((f"  runyard watch run {answer.new_run_id}", "dim"))

    run(output, work)
