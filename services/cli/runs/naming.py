"""Runs by the beginning of their id."""

from __future__ import annotations

from pathlib import Path

from services.cli.base.prefixes import is_prefix, only_run
from services.cli.runs.tickets import open_tickets
from services.cli.talk.clients import Clients


async def whole_run_id(stubs: Clients, typed: str, data: Path) -> str:
    """The run whose id begins with ``typed``: one that waits for a decision, or of which ``data``
    has spans. What is found nowhere is answered as it is.

    Raises:
        CliError: There are several.
    """
    if not is_prefix(typed):
        return typed
    # Imported here: it imports the messages of OpenTelemetry.
    from services.cli.traces.lookup import run_ids  # noqa: PLC0415

    waiting = {ticket.run_id for ticket in await open_tickets(stubs)}
    return only_run(typed, waiting | run_ids(data))
