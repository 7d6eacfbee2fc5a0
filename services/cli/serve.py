"""``runyard serve`` and ``check-config``: one service in this process."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Annotated

import typer

from services.chassis.clock import SystemClock
from services.chassis.startup import StartupRefusedError
from services.cli.exits import EXIT_USAGE, CliError
from services.cli.mains import ServiceArgument, ServiceName, main_of, settings_of
from services.cli.options import OutputOption
from services.cli.plan import SERVICES
from services.cli.terminal import Output, Terminal


def serve(
    service: ServiceArgument,
    with_parent: Annotated[
        bool,
        typer.Option(
            "--with-parent", hidden=True, help="Stop when standard input ends, as it does with us."
        ),
    ] = False,
) -> None:
    """Run one server in this process, with settings from its RUNYARD_<SERVICE>_* variables.

    Stops on SIGTERM and Ctrl-C after a drain. Exit code 2 means that it refuses to start.

    Example: RUNYARD_REGISTRY_LISTEN=127.0.0.1:9001 runyard serve registry
    """
    main = main_of(service.value)
    if with_parent:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    raise typer.Exit(main())


def _stop_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


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
    from services.chassis.settings import load_settings  # noqa: PLC0415

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
        terminal.line((variable, "bold"), f"={value}")
    terminal.data(found)
