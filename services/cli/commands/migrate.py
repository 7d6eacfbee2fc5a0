"""``runyard migrate``: the schema of one service's database, made or only looked at."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from services.chassis.errors import DomainError
from services.chassis.startup import StartupRefusedError
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.terminal import Output, Terminal
from services.cli.local.mains import ServiceArgument, schema_of, settings_of
from services.cli.talk.command import run
from services.cli.talk.options import OutputOption


def migrate(
    service: ServiceArgument,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only look: nothing is created, exit code 1 if it is behind."),
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Create or upgrade the database of a service, as RUNYARD_<SERVICE>_DATABASE_URL names it.

    Servers do it when they start; a deployment that wants it done before calls this. All pending
    versions are applied in one transaction. Exit code 0: up to date; 1: behind, or it failed;
    2: settings.

    Example: RUNYARD_REGISTRY_DATABASE_URL=sqlite:////var/lib/runyard/registry.db runyard migrate
    registry --check
    """
    run(output, lambda terminal: _migrate(terminal, service.value, check=check))


async def _migrate(terminal: Terminal, service: str, *, check: bool) -> None:
    url, shown = _database(service)
    schema = schema_of(service)
    try:
        state = await asyncio.to_thread(schema.verify if check else schema.migrate, url)
    except DomainError as error:
        raise CliError(error.message, reason=error.reason, hint=_HINT.format(service)) from error
    behind = bool(check and state.pending)
    terminal.line((service, "bold"), f"  {shown}")
    terminal.line(f"  found    {state.found or 'nothing'}")
    terminal.line(f"  wanted   {state.wanted}")
    terminal.line(f"  {'pending' if check else 'applied'}  {', '.join(state.pending) or 'nothing'}")
    terminal.data(
        {
            "service": service,
            "database_url": shown,
            "found": state.found,
            "wanted": state.wanted,
            "pending": list(state.pending) if check else [],
            "applied": [] if check else list(state.pending),
            "up_to_date": not behind,
        }
    )
    if behind:
        raise CliError(
            f"the database of {service} is behind this release",
            reason="SCHEMA_BEHIND",
            hint=f"runyard migrate {service}, or start its server",
        )


_HINT = "see what the server would use: runyard check-config {}"


def _database(service: str) -> tuple[str, str]:
    """The URL, and how it may be shown.

    Raises:
        CliError: The settings of the service do not load.
    """
    from services.chassis.config.settings import load_settings  # noqa: PLC0415  # as in mains

    try:
        settings = load_settings(settings_of(service))
    except StartupRefusedError as error:
        raise CliError(str(error), reason="SETTINGS", exit_code=EXIT_USAGE) from None
    return settings.database_url, settings.describe()[settings.variable("database_url")]
