"""``runyard watch``: runs, threads, the registry and the router as they change."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal
from services.cli.registry.summaries import summary
from services.cli.registry.watching import Step, Watching
from services.cli.runs.following import Following
from services.cli.runs.naming import whole_run_id
from services.cli.runs.routing_watch import RoutingWatch, event_line
from services.cli.runs.show import show
from services.cli.runs.thread_watch import ThreadWatch, show_thread
from services.cli.talk.command import clients, run
from services.cli.talk.options import (
    DEFAULT_DATA,
    DataOption,
    EndpointOption,
    OutputOption,
    VerboseOption,
)

watch_app = typer.Typer(no_args_is_help=True, help="Follow what happens.")


@watch_app.command("run")
def watch_run(
    run_id: Annotated[
        str, typer.Argument(metavar="RUN", help="The run's id, or its first 6 characters or more.")
    ],
    after: Annotated[
        str,
        typer.Option("--after", metavar="CURSOR", help="Go on behind this cursor of the same run."),
    ] = "",
    *,
    verbose: VerboseOption = False,
    data: DataOption = DEFAULT_DATA,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Follow a run from its first event, or from a cursor, to its end.

    The beginning of an id is looked up among the runs that wait for a decision, and in the traces
    of `runyard up --data DIR`. Survives a restart of the server. Ctrl-C prints the cursor to go on
    from and leaves the run alone. Exit code 0 when the run completes, 1 when it ends in any other
    way.

    Example: runyard watch run 0197c5a2-7d1e-7c4e-9a53-3f6f7b1a2c3d
    """
    cursor = _cursor(after)

    async def work(terminal: Terminal) -> None:
        async with clients("watch", endpoint) as stubs:
            whole = await whole_run_id(stubs, run_id, data)
            await show(Following(stubs, whole, cursor), terminal, verbose=verbose)

    run(output, work)


@watch_app.command("thread")
def watch_thread(
    thread_id: Annotated[str, typer.Argument(metavar="THREAD", help="The thread's id.")],
    after: Annotated[
        str,
        typer.Option(
            "--after", metavar="CURSOR", help="Go on behind this cursor of the same thread."
        ),
    ] = "",
    *,
    verbose: VerboseOption = False,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Follow every run of a thread, from its first event or from a cursor, until Ctrl-C.

    Survives a restart of the server. Ctrl-C prints the cursor to go on from and leaves the runs
    alone.

    Example: runyard watch thread 0197c5a2-7d1e-7c4e-9a53-3f6f7b1a2c3d
    """
    cursor = _cursor(after)

    async def work(terminal: Terminal) -> None:
        async with clients("watch", endpoint) as stubs:
            await show_thread(ThreadWatch(stubs, thread_id, cursor), terminal, verbose=verbose)

    run(output, work)


def _cursor(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode(), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise typer.BadParameter(f"{text!r} is no cursor") from error


@watch_app.command("registry")
def watch_registry(
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Follow the registry's changes live, through restarts of its server, until Ctrl-C.

    In json the first value has everything that there is, from_version 0; the others have what
    changed since the one before.

    Example: runyard watch registry
    """

    async def work(terminal: Terminal) -> None:
        async with clients("watch", endpoint) as stubs:
            watching = Watching(stubs)
            watching.on_outage = lambda: terminal.line(
                ("the registry is away, trying again until it is back", "yellow")
            )
            async for step in watching.steps():
                show_step(step, terminal)

    run(output, work)


@watch_app.command("router")
def watch_router(
    target: Annotated[str, typer.Argument(help="Only this pool or model.")] = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Follow circuits, quota deadlines, pins and moves of the router live, until Ctrl-C.

    Begins with the state as it is, and so it does after a restart of the server. Times are UTC.

    Example: runyard watch router narration
    """

    async def work(terminal: Terminal) -> None:
        async with clients("watch", endpoint) as stubs:
            watching = RoutingWatch(stubs, target)
            watching.on_outage = lambda: terminal.line(
                ("the router is away, trying again until it is back", "yellow")
            )
            async for instance_id, event in watching.events():
                terminal.data({"instance_id": instance_id, **as_json(event)})
                terminal.line(*event_line(event, instance_id))

    run(output, work)


_MARKS: Mapping[str, tuple[str, str]] = {
    "created": ("+", "green"),
    "updated": ("~", "yellow"),
    "removed": ("-", "red"),
}


def show_step(step: Step, terminal: Terminal) -> None:
    terminal.data(_json(step))
    if not step.from_version:
        terminal.line(
            ("version ", ""), (str(step.to_version), "bold"), f": {len(step.happened)} resource(s)"
        )
        return
    terminal.line("version ", (str(step.to_version), "bold"))
    for one in step.happened:
        mark, style = _MARKS.get(one.action, ("=", "dim"))
        details = f"  {summary(one.resource)}" if one.resource is not None else ""
        terminal.line("  ", (f"{mark} {one.name}", style), f" {one.action}", (details, "dim"))


def _json(step: Step) -> dict[str, Any]:
    return {
        "from_version": str(step.from_version),
        "to_version": str(step.to_version),
        "incarnation": step.incarnation,
        "changes": [
            {
                "action": one.action,
                "resource": one.name,
                **({"content": as_json(one.resource)} if one.resource is not None else {}),
            }
            for one in step.happened
        ],
    }
