"""``runyard pool``: the groups in which runs find each other."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal
from services.cli.runs.pools import open_pool
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, OutputOption

pool_app = typer.Typer(no_args_is_help=True, help="Open pools, in which runs find each other.")


@pool_app.callback()
def _group() -> None:
    """Keeps `open` a command of the group while it is the only one."""


@pool_app.command("open")
def open_(
    pool: Annotated[str, typer.Argument(help="The pool's id, yours to choose.")],
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Open a pool with default policies; a pool that is open already stays as it is.

    Example: runyard pool open harbour
    """

    async def work(terminal: Terminal) -> None:
        async with clients("pool open", endpoint) as stubs:
            answer = await open_pool(stubs, pool)
        terminal.line("pool ", (pool, "bold"), " is open" if answer.opened else " was open already")
        terminal.data(as_json(answer))

    run(output, work)
