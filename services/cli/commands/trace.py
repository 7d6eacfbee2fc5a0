"""``runyard trace``: what happened, from the spans that ``runyard up`` keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.base.terminal import Output, Terminal
from services.cli.talk.command import run
from services.cli.talk.options import DEFAULT_DATA, DataOption, OutputOption
from services.cli.traces.lookup import load
from services.cli.traces.view import show


def trace(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="A run's id, a trace's, the beginning of one of them, a thread's, a ticket's.",
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
