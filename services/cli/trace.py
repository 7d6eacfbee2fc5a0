"""``runyard trace``: what happened, from the spans that ``runyard up`` keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.command import run
from services.cli.exits import EXIT_USAGE, CliError
from services.cli.options import DEFAULT_DATA, DataOption, OutputOption
from services.cli.plan import spans_folder
from services.cli.ring import read_ring
from services.cli.terminal import Output, Terminal
from services.cli.tracetree import Trace, find_traces
from services.cli.traceview import render, to_json


def trace(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A run's id, a trace's id or its beginning, a thread's, a ticket's."
        ),
    ],
    data: DataOption = DEFAULT_DATA,
    output: OutputOption = Output.TEXT,
) -> None:
    """Draw the traces of a run as trees, with the links between them.

    Reads what `runyard up --data DIR` keeps, while it runs and after. A number in brackets marks a
    span that a link (↖) leads to.

    Example: runyard trace 0197c5a2-7d1e-7c4e-9a53-3f6f7b1a2c3d --data ./.runyard
    """
    run(output, lambda terminal: _trace(wanted, data, terminal))


async def _trace(wanted: str, data: Path, terminal: Terminal) -> None:
    show(load(wanted, data), terminal)


def load(wanted: str, data: Path) -> list[Trace]:
    """The traces of an id.

    Raises:
        CliError: There are none, or no spans at all.
    """
    folder = spans_folder(data)
    if not folder.is_dir():
        raise CliError(
            f"no traces in {data}",
            reason="NO_TRACES",
            hint="name the folder that runyard up was given: --data DIR",
            exit_code=EXIT_USAGE,
        )
    traces = find_traces(read_ring(folder), wanted)
    if not traces:
        raise CliError(
            f"no trace of {wanted} in {data}",
            reason="TRACE_NOT_FOUND",
            hint="spans arrive half a second after they end, and the oldest are dropped",
        )
    return traces


def show(traces: list[Trace], terminal: Terminal) -> None:
    for line in render(traces):
        terminal.text(line)
    terminal.data({"traces": to_json(traces)})
