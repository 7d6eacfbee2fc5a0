"""Ids of runs and tickets by their beginning."""

from __future__ import annotations

from collections.abc import Iterable

from services.cli.base.exits import EXIT_USAGE, CliError

SHORTEST_PREFIX = 6
# Run control makes ids of these lengths.
_WHOLE_CHARS = 36
_WHOLE_TICKET_CHARS = 34


def is_prefix(typed: str) -> bool:
    """Whether it can only be the beginning of a run's id."""
    return SHORTEST_PREFIX <= len(typed) < _WHOLE_CHARS


def is_ticket_prefix(typed: str) -> bool:
    """Whether it can only be the beginning of a ticket's id."""
    return SHORTEST_PREFIX <= len(typed) < _WHOLE_TICKET_CHARS


def only_run(typed: str, run_ids: Iterable[str]) -> str:
    """The run whose id begins with ``typed``; ``typed`` itself when there is none.

    Raises:
        CliError: There are several.
    """
    return _only(typed, run_ids, "run")


def only_ticket(typed: str, ticket_ids: Iterable[str]) -> str:
    """As ``only_run``, for tickets."""
    return _only(typed, ticket_ids, "ticket")


def _only(typed: str, ids: Iterable[str], what: str) -> str:
    found = sorted({each for each in ids if each.startswith(typed)})
    if len(found) > 1:
        raise CliError(
            f"{len(found)} {what}s begin with {typed}",
            reason=f"AMBIGUOUS_{what.upper()}",
            hint="type more of the id",
            details=tuple(found),
            exit_code=EXIT_USAGE,
        )
    return found[0] if found else typed
