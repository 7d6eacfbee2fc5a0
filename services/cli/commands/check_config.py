"""``runyard check-config``: the settings that servers would start with."""

from __future__ import annotations

from typing import Annotated

import typer

from services.chassis.clock import SystemClock
from services.chassis.startup import StartupRefusedError
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.services import SERVICES
from services.cli.base.terminal import Output, Terminal
from services.cli.local.mains import ServiceName, settings_of
from services.cli.talk.options import OutputOption


def check_config(
    service: Annotated[
        ServiceName | None, typer.Argument(help="Only this one; all four without it.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print the settings that servers would start with, secrets masked; exit code 2 if they refuse.

    Example: runyard check-config router
    """
    # Pydantic takes a quarter of a second, and no other command needs it.
    from services.chassis.access.entry import refuse_unusable  # noqa: PLC0415
    from services.chassis.config.settings import load_settings  # noqa: PLC0415

    terminal = Terminal(output)
    found: dict[str, str] = {}
    try:
        for name in [service.value] if service else SERVICES:
            settings = load_settings(settings_of(name))
            refuse_unusable(settings, SystemClock())
            found.update(settings.describe())
    except StartupRefusedError as error:
        terminal.fail(CliError(str(error), reason="SETTINGS", exit_code=EXIT_USAGE))
        raise typer.Exit(EXIT_USAGE) from None
    for variable, value in found.items():
        terminal.copyable((variable, "bold"), f"={value}")
    terminal.data(found)
