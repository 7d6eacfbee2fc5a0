"""For loops that serve many rows: a row that is locked or faulty delays itself alone.

    for each row: one transaction, which gives the row up if another transaction has locked it

A closure makes no calls, so what makes it slow is a lock. It locks its row by a statement with
``with_for_update(skip_locked=True)`` and returns None without it: the next round finds the row.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from services.chassis.errors import StoreUnavailableError

R = TypeVar("R")
T = TypeVar("T")

_LOG = logging.getLogger(__name__)


async def each_row(
    rows: Iterable[R],
    serve: Callable[[R], Awaitable[T | None]],
    named: Callable[[R], Mapping[str, object]],
) -> list[T]:
    """Serve one row after the other; return what ``serve`` returned, without the None.

    A failure, a defect included, is logged with what ``named`` says of its row, and is over.

    Raises:
        StoreUnavailableError: The database cannot be reached; the other rows were not tried.
    """
    results: list[T] = []
    for row in rows:
        try:
            result = await serve(row)
        except Exception as error:
            if isinstance(error, StoreUnavailableError) and _is_away(error):
                raise
            _LOG.exception("row not served", extra=dict(named(row)))
            continue
        if result is not None:
            results.append(result)
    return results


def _is_away(error: StoreUnavailableError) -> bool:
    return error.metadata.get("cause") == "CONNECTION_LOST"
