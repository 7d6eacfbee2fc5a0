"""The past of a pool: which recorded events a new wake has missed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.pool.core.events import (
    Event,
    EventFilter,
)
from services.pool.core.filters import Dimension, IndexKey, index_keys, matches
from services.pool.core.ports import PoolTx

PAGE_EVENTS = 256
# Dimensions under which the log itself can be searched.
SCANNABLE = frozenset({Dimension.MESSAGE, Dimension.REPLY_TO, Dimension.RECIPIENT})


def first_matches(
    tx: PoolTx, pool_id: str, filters: Sequence[EventFilter], after: int, wanted: int
) -> list[Event]:
    """The first ``wanted`` events after a sequence that any filter means, in order."""
    found: dict[int, Event] = {}
    for each in filters:
        for key in _searches(each):
            for event in _matching(tx, pool_id, each, key, after, wanted):
                found[event.sequence] = event
    return [found[sequence] for sequence in sorted(found)][:wanted]


def _searches(wanted: EventFilter) -> list[IndexKey | None]:
    keys = index_keys(wanted)
    return [*keys] if keys[0][0] in SCANNABLE else [None]


def _matching(
    tx: PoolTx, pool_id: str, wanted: EventFilter, key: IndexKey | None, after: int, limit: int
) -> Iterator[Event]:
    left = limit
    for event in _pages(tx, pool_id, key, after):
        if event.observable and matches(wanted, event):
            yield event
            left -= 1
            if left == 0:
                return


def _pages(tx: PoolTx, pool_id: str, key: IndexKey | None, after: int) -> Iterator[Event]:
    while True:
        page = tx.events_after(pool_id, after, PAGE_EVENTS, key)
        yield from page
        if len(page) < PAGE_EVENTS:
            return
        after = page[-1].sequence
