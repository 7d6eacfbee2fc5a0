"""``runyard run`` and ``watch run``: submit runs and follow them."""

from __future__ import annotations

import base64
import binascii
import sys
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.clients import CALL_TIMEOUT_S, Clients
from services.cli.command import clients, new_request_id, run
from services.cli.exits import CliError
from services.cli.following import Following
from services.cli.infer import messages
from services.cli.options import EndpointOption, MinVersionOption, OutputOption
from services.cli.runview import RunView
from services.cli.terminal import Output, Terminal

watch_app = typer.Typer(no_args_is_help=True, help="Follow what happens.")


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
    follow: Annotated[
        bool, typer.Option(help="Show the run until it ends; leaving does not stop it.")
    ] = True,
    min_version: MinVersionOption = 0,
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
        min_registry_version=min_version,
    )
    if pool:
        request.pool.CopyFrom(pb.PoolMembership(pool_id=pool, topics=topic or ()))

    async def work(terminal: Terminal) -> None:
        request.messages.extend(messages(sys.stdin.read() if text == "-" else text))
        async with clients("run", endpoint) as found:
            submitted = await submit(found, request)
            terminal.line("run ", (submitted.run_id, "bold"), f" on thread {submitted.thread_id}")
            terminal.data(MessageToDict(submitted, preserving_proto_field_name=True))
            if follow:
                await show(Following(found, submitted.run_id), terminal)

    run(output, work)


@watch_app.command("run")
def watch_run(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")],
    after: Annotated[
        str,
        typer.Option("--after", metavar="CURSOR", help="Go on behind this cursor of the same run."),
    ] = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Follow a run from its first event, or from a cursor, to its end.

    Survives a restart of the server. Ctrl-C prints the cursor to go on from and leaves the run
    alone. Exit code 0 when the run completes, 1 when it ends in any other way.

    Example: runyard watch run 0197c5a2-7d1e-7c4e-9a53-3f6f7b1a2c3d
    """
    cursor = _cursor(after)

    async def work(terminal: Terminal) -> None:
        async with clients("watch", endpoint) as found:
            await show(Following(found, run_id, cursor), terminal)

    run(output, work)


async def submit(
    found: Clients, request: service_pb.SubmitRunRequest
) -> service_pb.SubmitRunResponse:
    with found.talking_to("runcontrol"):
        return await found.runcontrol.SubmitRun(request, timeout=CALL_TIMEOUT_S)


async def show(following: Following, terminal: Terminal) -> None:
    """Show a run to its end.

    Raises:
        CliError: It did not complete.
    """
    view = RunView(terminal)
    following.told_away = lambda: terminal.line(
        ("run control is away, trying again for a while", "yellow")
    )
    try:
        async for event in following.events():
            view.show(event)
    finally:
        if view.finished is None and following.run_seq:
            cursor = base64.urlsafe_b64encode(following.cursor).decode()
            terminal.line("the run goes on; follow it with:")
            terminal.line(f"  runyard watch run {following.run_id} --after {cursor}")
            terminal.data({"cursor": cursor})
    if not view.completed and view.finished is not None:
        end = view.finished.termination
        raise CliError(
            f"the run did not complete: {end.message or 'see above'}",
            reason=end.error_reason or pb.TerminationReason.Name(end.reason),
        )


def _cursor(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode(), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise typer.BadParameter(f"{text!r} is no cursor") from error
