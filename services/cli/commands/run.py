"""``runyard run`` and ``watch run``: submit runs and follow them."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.chassis.clock import SystemClock
from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal, read_input
from services.cli.runs.following import Following
from services.cli.runs.labels import labels_of
from services.cli.runs.show import show
from services.cli.runs.submit import later, messages, submit
from services.cli.talk.command import clients, new_request_id, run
from services.cli.talk.options import (
    EndpointOption,
    MinIncarnationOption,
    MinVersionOption,
    OutputOption,
    VerboseOption,
)

_NotBefore = Annotated[
    str,
    typer.Option(
        "--not-before", metavar="TIME", help="Do not start it before: 2h, 2027-01-31T09:00Z."
    ),
]


def run_agent(
    agent: Annotated[str, typer.Argument(help="The agent's id in the registry.")],
    text: Annotated[str, typer.Argument(help="What to say to it; - reads standard input.")],
    *,
    thread: Annotated[
        str, typer.Option("--thread", metavar="ID", help="Continue this thread, or begin it.")
    ] = "",
    pool: Annotated[
        str, typer.Option("--pool", metavar="ID", help="Join this open pool before the first step.")
    ] = "",
    topic: Annotated[
        list[str] | None,
        typer.Option("--topic", metavar="T", help="Topic to follow there; may be repeated."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME=VALUE", help="For lists; may be repeated."),
    ] = None,
    not_before: _NotBefore = "",
    follow: Annotated[
        bool, typer.Option(help="Show the run until it ends; leaving does not stop it.")
    ] = True,
    verbose: VerboseOption = False,
    min_version: MinVersionOption = 0,
    min_incarnation: MinIncarnationOption = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Submit a run of an agent and follow it to its end.

    Exit code 0 when it completes, 1 when it ends in any other way.

    Example: runyard run narrator "Tell me about the harbour."
    """
    if topic and not pool:
        raise typer.BadParameter("--topic needs --pool")
    request = service_pb.SubmitRunRequest(
        request_id=new_request_id(),
        thread_id=thread,
        agent_id=agent,
        labels=labels_of(label or ()),
        min_registry_version=min_version,
        min_registry_incarnation=min_incarnation,
    )
    if pool:
        request.pool.CopyFrom(pb.PoolMembership(pool_id=pool, topics=topic or ()))

    async def work(terminal: Terminal) -> None:
        if not_before:
            request.not_before_time.FromDatetime(later(not_before, SystemClock().now()))
        request.messages.extend(messages(read_input() if text == "-" else text))
        async with clients("run", endpoint) as stubs:
            submitted = await submit(stubs, request)
            terminal.line("run ", (submitted.run_id, "bold"), f" on thread {submitted.thread_id}")
            terminal.data(as_json(submitted))
            if follow:
                await show(Following(stubs, submitted.run_id), terminal, verbose=verbose)

    run(output, work)
