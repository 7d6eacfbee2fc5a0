"""Searching the log: which recorded events a new wake matches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.pool.core.events import Event, EventFilter
from services.pool.core.filters import Dimension, IndexKey, index_keys, matches
from services.pool.core.ports import Tx

PAGE_EVENTS = 256
# Dimensions by which the store can search the log.
SEARCHABLE = frozenset({Dimension.MESSAGE, Dimension.REPLY_TO, Dimension.RECIPIENT})


def first_matches(
    tx: Tx, pool_id: str, filters: Sequence[EventFilter], after: int, wanted: int
) -> list[Event]:
    """The first ``wanted`` events after sequence ``after`` that match any filter, in order."""
    found: dict[int, Event] = {}
    for each in filters:
        for key in _searches(each):
            for event in _matching(tx, pool_id, each, key, after, wanted):
                found[event.sequence] = event
    return [found[sequence] for sequence in sorted(found)][:wanted]


def _searches(wanted: EventFilter) -> list[IndexKey | None]:
    keys = index_keys(wanted)
    return [*keys] if keys[0][0] in SEARCHABLE else [None]


def _matching(
    tx: Tx, pool_id: str, wanted: EventFilter, key: IndexKey | None, after: int, limit: int
) -> Iterator[Event]:
    for event in _pages(tx, pool_id, key, after):
        if event.observable and matches(wanted, event):
            yield event
            limit -= 1
            if limit == 0:
                return


def _pages(tx: Tx, pool_id: str, key: IndexKey | None, after: int) -> Iterator[Event]:
    while True:
        page = tx.events_after(pool_id, after, PAGE_EVENTS, key)
        yield from page
        if len(page) < PAGE_EVENTS:
            return
        after = page[-1].sequence
