"""``runyard token``: bearer tokens for callers of servers that ask for one."""

from __future__ import annotations

from typing import Annotated

import typer

from services.chassis.access.tokens import TokenLineError, instant_of, new_token
from services.chassis.caller import DEFAULT_TENANT, Role
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.terminal import Output, Terminal
from services.cli.talk.command import run
from services.cli.talk.options import OutputOption

token_app = typer.Typer(no_args_is_help=True, help="Make tokens for callers of the servers.")


@token_app.callback()
def _group() -> None:
    """Keeps `new` a command of the group while it is the only one."""


@token_app.command("new")
def new(
    name: Annotated[str, typer.Option("--name", help="Whose it is; shown in logs and audits.")],
    role: Annotated[list[Role], typer.Option("--role", help="What it may do; may be repeated.")],
    tenant: Annotated[
        str, typer.Option("--tenant", help="Whose threads, runs and pools it sees.")
    ] = DEFAULT_TENANT,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", metavar="INSTANT", help="Refused from then on: 2027-01-01T00:00:00Z."
        ),
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(
            "--tool",
            help="A tool that a worker may serve; may be repeated. Without it: every tool.",
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make a token, and the line for the servers' file of tokens. Neither is kept anywhere.

    The token goes to the caller, by RUNYARD_TOKEN_FILE; the line, which holds its hash alone, to
    the files that RUNYARD_<SERVICE>_TOKEN_FILE names. Servers notice a change within a second.

    Example: runyard token new --name alice --role operator --tenant acme
    """

    async def work(terminal: Terminal) -> None:
        token, line = _made(name, role, tenant, expires, tool or [])
        terminal.copyable(("token  ", "bold"), token)
        terminal.copyable(("line   ", "bold"), line)
        terminal.data({"token": token, "line": line})

    run(output, work)


def _made(
    name: str, roles: list[Role], tenant: str, expires: str | None, tools: list[str]
) -> tuple[str, str]:
    try:
        return new_token(name, roles, tenant, instant_of(expires), tools)
    except TokenLineError as error:
        raise CliError(
            str(error).replace("= ", ": ", 1), reason="INVALID_OPTION", exit_code=EXIT_USAGE
        ) from None
