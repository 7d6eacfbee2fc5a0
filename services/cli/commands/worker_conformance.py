"""``runyard worker-conformance``: whether a worker keeps the contract."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.terminal import Output, Terminal
from services.cli.conformance.kit import names, play
from services.cli.talk.command import run
from services.cli.talk.options import OutputOption


def worker_conformance(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="Starts the worker; after --.")
    ],
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="SCRIPT", help="Play this one; may be repeated."),
    ] = None,
    limit: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="What a worker gets for each step.")
    ] = 45.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Play run control to a worker in any language, and say where it departs from the contract.

    Each of the scripts starts the worker anew with RUNYARD_ENDPOINTS=runcontrol=HOST:PORT. The
    worker serves the tool `note`, which docs/ops/worker-conformance.md describes.

    Example: runyard worker-conformance -- python worker.py
    """
    unknown = sorted(set(only or ()) - set(names()))

    async def work(terminal: Terminal) -> None:
        if unknown:
            raise CliError(
                f"there is no script {', '.join(unknown)}; there are {', '.join(names())}",
                exit_code=EXIT_USAGE,
            )
        failed = 0
        try:
            async for verdict in play(command, limit, only or ()):
                terminal.data(
                    {
                        "script": verdict.name,
                        "passed": verdict.passed,
                        "expected": verdict.expected,
                        "seen": verdict.seen,
                        "output": verdict.output,
                    }
                )
                mark = ("✓ ", "green") if verdict.passed else ("✗ ", "red")
                terminal.line(mark, verdict.name, (f"  {verdict.rule}", "dim"))
                if not verdict.passed:
                    failed += 1
                    terminal.line(f"    expected  {verdict.expected}")
                    terminal.line(f"    seen      {verdict.seen}")
                    for line in verdict.output.splitlines():
                        terminal.line(("    │ " + line, "dim"))
        except OSError as error:
            raise CliError(
                f"{command[0]} cannot be started: {error.strerror}", exit_code=EXIT_USAGE
            ) from error
        if failed:
            raise CliError(f"{failed} scripts failed")

    run(output, work)
