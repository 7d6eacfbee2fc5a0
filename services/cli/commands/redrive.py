"""``runyard redrive``: another run in the place of a dead letter."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal
from services.cli.talk.command import clients, new_request_id, run
from services.cli.talk.options import EndpointOption, OutputOption


def redrive(
    dispatch: Annotated[str, typer.Argument(help="The id that `runyard dead` shows.")],
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run again what the run of a dead letter was asked, on its thread, with the agent as it is
    now.

    Example: runyard redrive 0197c5a2-7d1e-7c4e-9a53-3f6f7b1a2c3d
    """
    request = service_pb.RedriveDispatchRequest(request_id=new_request_id(), dispatch_id=dispatch)

    async def work(terminal: Terminal) -> None:
        async with clients("redrive", endpoint) as stubs:
            answer = await stubs.call("runcontrol", stubs.runcontrol.RedriveDispatch, request)
        terminal.line("run ", (answer.dispatch.run_id, "bold"), " is queued")
        terminal.data(as_json(answer))

    run(output, work)
