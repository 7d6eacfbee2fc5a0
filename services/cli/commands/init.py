"""``runyard init``: a new project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.base.terminal import Output, Terminal
from services.cli.project.files import write_project
from services.cli.talk.command import run
from services.cli.talk.options import OutputOption


def init(
    folder: Annotated[Path, typer.Argument(help="A new folder, or an empty one.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Write an agent with a tool of its own: manifests, a worker, and a README.

    They run with `runyard up FOLDER`, need no key, and are yours to change.

    Example: runyard init desk
    """

    async def work(terminal: Terminal) -> None:
        written = write_project(folder)
        terminal.data({"files": [str(each) for each in written]})
        for each in written:
            terminal.line("  + ", (str(each), "green"))
        terminal.line("start it, and let it work from another terminal:")
        terminal.copyable(f"  runyard up {folder}")
        terminal.copyable('  runyard run desk "Please pay order 4711 back."')

    run(output, work)
