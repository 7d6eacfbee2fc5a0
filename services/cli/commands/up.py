"""``runyard up``: the whole suite in one terminal."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.base.services import PORT_BASE, SERVICES
from services.cli.base.terminal import Output, Terminal
from services.cli.local.console import COLOURS, EventPrinter, StopSignals
from services.cli.local.plan import Plan, make_plan
from services.cli.local.supervisor import unless_failed
from services.cli.manifests.resources import Manifests
from services.cli.project.files import read_project
from services.cli.registry.applying import apply_resources
from services.cli.talk.clients import connected
from services.cli.talk.command import run
from services.cli.talk.endpoints import VARIABLE
from services.cli.talk.options import DEFAULT_DATA, DataOption, OutputOption

if TYPE_CHECKING:
    from services.cli.local.stack import Stack


PortBaseOption = Annotated[
    int,
    typer.Option(
        "--port-base",
        min=0,
        max=65_000,
        help="Port of the span receiver; the four servers follow. 0 picks free ports.",
    ),
]


def up(
    project: Annotated[
        Path | None,
        typer.Argument(
            help="Folder with manifests and perhaps a worker.py, as of `runyard init`: they are "
            "applied, and the worker runs beside the servers."
        ),
    ] = None,
    *,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = PORT_BASE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run all four servers on this machine, with a receiver for traces, until Ctrl-C.

    A server that dies is started again; one that refuses its settings ends the command with
    code 2. Ctrl-C, SIGTERM or a closed terminal drains; a second Ctrl-C gives it no more time.

    Example: runyard up desk
    """
    run(output, lambda terminal: _up(make_plan(data, port_base), project, terminal))


async def _up(plan: Plan, project: Path | None, terminal: Terminal) -> None:
    # Not with the other imports: every server is a `runyard serve`, and needs no HTTP server.
    from services.cli.local.stack import running_stack  # noqa: PLC0415

    printer = EventPrinter(terminal)
    started_s = time.monotonic()
    signals = StopSignals()
    # First: a project that cannot be read starts nothing.
    manifests = (
        None if project is None else await asyncio.to_thread(read_project, project, os.environ)
    )
    async with running_stack(plan, printer, project) as stack:
        signals.serves(stack.supervisor)
        if manifests is not None:
            await unless_failed(stack.supervisor, _apply(plan, manifests, terminal))
        tell_ready(stack, terminal, time.monotonic() - started_s)
        await unless_failed(stack.supervisor, signals.requested.wait())
        printer.say("draining")
    printer.say("stopped")


async def _apply(plan: Plan, manifests: Manifests, terminal: Terminal) -> None:
    async with connected({service: plan.target(service) for service in SERVICES}) as stubs:
        answer = await apply_resources(stubs, manifests)
    resources = len(manifests.resources)
    terminal.line(f"{resources} resources applied, the registry is at version {answer.version}")
    terminal.data({"event": "applied", "resources": resources, "version": answer.version})


def tell_ready(stack: Stack, terminal: Terminal, took_s: float) -> None:
    plan = stack.plan
    pids = {name: child.pid for name, child in stack.supervisor.children.items()}
    ready = (f"runyard is ready after {took_s:.1f} s", "bold green")
    terminal.line(ready, f", data in {plan.data}")
    for service in SERVICES:
        name = (f"{service:<11}", COLOURS[service])
        terminal.line("  ", name, plan.target(service), (f"  pid {pids[service]}", "dim"))
    tell_traces(plan, os.environ, terminal)
    if plan.receiver_port != PORT_BASE:
        terminal.line("in another terminal:")
        terminal.copyable("  ", (f"export {VARIABLE}={plan.endpoints}", "bold"))
    terminal.line("Ctrl-C drains and stops")
    terminal.data(
        {
            "event": "ready",
            "endpoints": {service: plan.target(service) for service in SERVICES},
            "otlp_endpoint": plan.otlp_endpoint,
            "traces": plan.traces(os.environ),
            "pids": pids,
            "data": str(plan.data),
            "took_s": round(took_s, 3),
        }
    )


def tell_traces(plan: Plan, environment: Mapping[str, str], terminal: Terminal) -> None:
    """Where the spans of the servers go."""
    for told in _where_traces_go(plan.traces(environment), plan.otlp_endpoint):
        terminal.line(told, lead=["  traces     "], rest=[" " * 13])


def _where_traces_go(traces: Mapping[str, str], ours: str) -> Iterator[str]:
    """A line per place, ours first."""
    for place in sorted(set(traces.values()), key=lambda one: (one != ours, one)):
        services = [service for service, sent_to in traces.items() if sent_to == place]
        whose = f"of {', '.join(services)} " if len(services) < len(traces) else ""
        if place == ours:
            yield f"{whose}to {place} (OTLP/HTTP), see: runyard trace ID"
        elif place:
            yield f"{whose}to {place}, as RUNYARD_<SERVICE>_OTLP_ENDPOINT says"
        else:
            yield f"{whose}are not exported, as RUNYARD_<SERVICE>_OTLP_ENDPOINT is empty"
