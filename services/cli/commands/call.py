"""``runyard call``: a tool call, whole."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from services.cli.base.messages import as_json, short_name
from services.cli.base.terminal import Output, Terminal
from services.cli.runs.calls import whole_call
from services.cli.runs.naming import whole_run_id
from services.cli.talk.command import clients, run
from services.cli.talk.options import DEFAULT_DATA, DataOption, EndpointOption, OutputOption

_TIMES = {
    "planned": "plan_time",
    "sent": "dispatch_time",
    "accepted": "accept_time",
    "settled": "settle_time",
}


def call(
    run_id: Annotated[
        str, typer.Argument(metavar="RUN", help="The run's id, or its first 6 characters or more.")
    ],
    call_id: Annotated[
        str, typer.Argument(metavar="CALL", help="The call's id, or step and index, as 1.0.")
    ],
    *,
    data: DataOption = DEFAULT_DATA,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show a tool call: the whole of its arguments and its result, its times and its worker.

    Example: runyard call 0197c5a2-7d1e-7c4e-9a53-3f6f7b1a2c3d 1.0
    """

    async def work(terminal: Terminal) -> None:
        async with clients("call", endpoint) as stubs:
            whole = await whole_run_id(stubs, run_id, data)
            found = await whole_call(stubs, whole, call_id)
        terminal.data(as_json(found))
        _show(found, terminal)

    run(output, work)


def _show(found: pb.ToolInvocation, terminal: Terminal) -> None:
    state = short_name(pb.ToolInvocation.State.DESCRIPTOR, found.state)
    terminal.line((found.tool_call_id, "bold"), f"  {found.tool_id}  {state}")
    if found.attempt:
        by = f" of worker {found.worker_id}" if found.worker_id else ""
        terminal.line((f"  attempt {found.attempt}{by}", "dim"))
    for name, field in _TIMES.items():
        if found.HasField(field):
            at = getattr(found, field).ToDatetime()
            terminal.line((f"  {name} {at:%Y-%m-%d %H:%M:%S.%f} UTC", "dim"))
    terminal.line("arguments")
    terminal.copyable(found.arguments_json)
    if found.result:
        terminal.line("result")
        terminal.copyable(found.result)
