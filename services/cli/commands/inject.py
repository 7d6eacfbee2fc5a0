"""``runyard inject``: say something to a thread or a run; change what nobody has read yet."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal, read_input
from services.cli.runs import steering
from services.cli.runs.steering import MODES, ModeName, became, pending_inputs
from services.cli.runs.submit import messages
from services.cli.talk.command import clients, run
from services.cli.talk.options import (
    EndpointOption,
    MinIncarnationOption,
    MinVersionOption,
    OutputOption,
)

inject_app = typer.Typer(
    no_args_is_help=True, help="Say something to a thread or a run that is under way."
)

_TEXT_HELP = "What to say; - reads standard input."
TextArgument = Annotated[str, typer.Argument(help=_TEXT_HELP)]
InputArgument = Annotated[str, typer.Argument(metavar="INPUT", help="The input's id.")]
ModeOption = Annotated[
    ModeName,
    typer.Option(
        "--mode",
        help="queue: continue a run that waits, else a run of its own. interrupt: stop what is "
        "under way first. resume: only continue a run that waits. live: read by the running run.",
    ),
]
VoidOption = Annotated[
    bool,
    typer.Option("--void-tickets", help="Withdraw approvals that the run waits for."),
]
RevisionOption = Annotated[
    int, typer.Option("--revision", min=1, metavar="N", help="The one that you have read.")
]


@inject_app.command("thread")
def thread_(
    thread: Annotated[str, typer.Argument(help="The thread's id.")],
    text: TextArgument,
    *,
    mode: ModeOption = ModeName.QUEUE,
    agent: Annotated[
        str, typer.Option("--agent", metavar="ID", help="Of a run that has to be started.")
    ] = "",
    void_tickets: VoidOption = False,
    min_version: MinVersionOption = 0,
    min_incarnation: MinIncarnationOption = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say something to whatever executes or waits on a thread.

    Example: runyard inject thread 7b1e… "And mention the lighthouse." --mode live
    """
    request = service_pb.InjectInputRequest(
        thread_id=thread,
        agent_id=agent,
        mode=MODES[mode],
        void_tickets=void_tickets,
        min_registry_version=min_version,
        min_registry_incarnation=min_incarnation,
    )
    _inject(request, text, endpoint, output)


@inject_app.command("run")
def run_(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")],
    text: TextArgument,
    *,
    mode: ModeOption = ModeName.QUEUE,
    void_tickets: VoidOption = False,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say something to one run; once it is over, to a new run of its agent.

    Example: runyard inject run 4f0c… "Never mind the reply." --mode resume
    """
    request = service_pb.InjectInputRequest(
        run_id=run_id, mode=MODES[mode], void_tickets=void_tickets
    )
    _inject(request, text, endpoint, output)


def _inject(
    request: service_pb.InjectInputRequest, text: str, endpoint: list[str] | None, output: Output
) -> None:
    async def work(terminal: Terminal) -> None:
        request.messages.extend(messages(read_input() if text == "-" else text))
        async with clients("inject", endpoint) as stubs:
            answer = await steering.inject(stubs, request)
        terminal.data(as_json(answer))
        terminal.line("input ", (answer.input.input_id, "bold"), ": ", *became(answer))

    run(output, work)


@inject_app.command("list")
def list_(
    thread: Annotated[str, typer.Argument(help="The thread's id.")],
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List what no run has read yet, oldest first.

    Example: runyard inject list 7b1e…
    """

    async def work(terminal: Terminal) -> None:
        async with clients("inject list", endpoint) as stubs:
            found = [each async for each in pending_inputs(stubs, thread)]
        for each in found:
            _show(each, terminal)
        if not found:
            terminal.line("everything has been read")
        terminal.data({"inputs": [as_json(each) for each in found]})

    run(output, work)


def _show(said: pb.Input, terminal: Terminal) -> None:
    since = f"{said.create_time.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"
    facts = f"  revision {said.revision}  for run {said.run_id}  since {since}"
    terminal.line((said.input_id, "bold"), facts)
    for message in said.messages:
        for part in message.parts:
            terminal.prose(part.text.text, lead=["  "], rest=["  "])
    if said.messages_left_out:
        terminal.line(("  too large to be shown", "dim"))


@inject_app.command("edit")
def edit_(
    input_id: InputArgument,
    text: TextArgument,
    *,
    revision: RevisionOption = 1,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Replace what an input says, unless a run has read it or somebody has edited it.

    Example: runyard inject edit 93aa… "And mention the other lighthouse."
    """

    async def work(terminal: Terminal) -> None:
        said = messages(read_input() if text == "-" else text)
        request = service_pb.EditInputRequest(input_id=input_id, revision=revision, messages=said)
        async with clients("inject edit", endpoint) as stubs:
            edited = await steering.edit(stubs, request)
        terminal.data(as_json(edited))
        terminal.line("input ", (edited.input_id, "bold"), f" is at revision {edited.revision}")

    run(output, work)


@inject_app.command("retract")
def retract_(
    input_id: InputArgument,
    *,
    revision: RevisionOption = 1,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take an input back, unless a run has read it or somebody has edited it.

    Example: runyard inject retract 93aa…
    """

    async def work(terminal: Terminal) -> None:
        request = service_pb.RetractInputRequest(input_id=input_id, revision=revision)
        async with clients("inject retract", endpoint) as stubs:
            retracted = await steering.retract(stubs, request)
        terminal.data(as_json(retracted))
        terminal.line("input ", (retracted.input_id, "bold"), " is taken back")

    run(output, work)
