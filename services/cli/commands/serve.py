"""``runyard serve`` and ``check-config``: one service in this process."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Annotated

import typer

from services.cli.local.mains import ServiceArgument, main_of


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

    Stops on SIGTERM, SIGHUP and Ctrl-C after a drain. Exit code 2 means that it refuses to start.

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
