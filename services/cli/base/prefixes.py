"""Ids of runs by their beginning."""

from __future__ import annotations

from collections.abc import Iterable

from services.cli.base.exits import EXIT_USAGE, CliError

SHORTEST_PREFIX = 6
# Run control makes ids of this length.
_WHOLE_CHARS = 36


def is_prefix(typed: str) -> bool:
    """Whether it can only be the beginning of a run's id."""
    return SHORTEST_PREFIX <= len(typed) < _WHOLE_CHARS


def only_run(typed: str, run_ids: Iterable[str]) -> str:
    """The run whose id begins with ``typed``; ``typed`` itself when there is none.

    Raises:
        CliError: There are several.
    """
    found = sorted({run_id for run_id in run_ids if run_id.startswith(typed)})
    if len(found) > 1:
        raise CliError(
            f"{len(found)} runs begin with {typed}",
            reason="AMBIGUOUS_RUN",
            hint="type more of the id",
            details=tuple(found),
            exit_code=EXIT_USAGE,
        )
    return found[0] if found else typed
