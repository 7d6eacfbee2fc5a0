"""Reads and writes what the replicas share."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from services.chassis.failpoints import failpoint
from services.chassis.store.port import Row, Store, Tx
from services.router.core.ports import News, Saved
from services.router.core.shared_entry import Entry, Kind
from services.router.store.rows import entry_of, entry_params, key_hash
from services.router.store.statements import (
    ADVANCE,
    DROP_ENDED,
    FURTHEST,
    HEAD,
    KEYS_PER_LOOKUP,
    LOCKED,
    NEWS,
    PUT,
)

# Notified by every write.
CHANNEL = "routing_state"

# In the transaction, before its commit.
_PIN_WRITE = failpoint("router.pin_write")

log = logging.getLogger(__name__)


class SqlRouterStore:
    """Implements ``ports.Store``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self, most: int) -> News:
        # What is written after the number was read is read once more by ``news``.
        number = await self._store.read(_head)
        rows: list[Row] = []
        for kind in Kind:
            found = await self._store.fetch(FURTHEST, kind=kind.value, most=most)
            rows += reversed(found)
        return News(_entries(rows), number)

    async def save(self, entries: Sequence[Entry[Any]]) -> Saved:
        keyed = {key_hash(entry): entry for entry in entries}

        def write(tx: Tx) -> Saved:
            # Before any other row: two replicas never wait for each other.
            (head,) = tx.all(ADVANCE, only=1, number=len(keyed))
            locked = frozenset() if self._store.sole_owner else _locked(tx, sorted(keyed))
            free = [entry for key, entry in keyed.items() if key not in locked]
            first = head.number - len(keyed) + 1
            rows = [{**entry_params(each), "number": first + i} for i, each in enumerate(free)]
            tx.run_many(PUT, rows)
            tx.notify(CHANNEL)
            _PIN_WRITE.reach()
            return Saved(head.number, len(keyed), [keyed[key] for key in locked])

        return await self._store.write(write)

    async def news(self, after: int, most: int) -> News:
        def read(tx: Tx) -> News:
            head = _head(tx)
            since = after if after <= head else 0
            rows = tx.all(NEWS, after=since, most=most)
            more = len(rows) == most
            return News(_entries(rows), rows[-1].number if more else head, more)

        return await self._store.read(read)

    async def forget(self, before: datetime) -> None:
        await self._store.write(lambda tx: tx.run(DROP_ENDED, before=before))


def _head(tx: Tx) -> int:
    """The number of the last write; 0 before the first."""
    head = tx.one(HEAD)
    return 0 if head is None else int(head.number)


def _entries(rows: Iterable[Row]) -> list[Entry[Any]]:
    """Those that can be read: one of a newer version, or a damaged one, keeps no other back."""
    found: list[Entry[Any]] = []
    for row in rows:
        try:
            found.append(entry_of(row))
        except ValueError:
            log.warning("shared entry not readable", extra={"kind": row.kind, "number": row.number})
    return found


def _locked(tx: Tx, keys: Sequence[str]) -> frozenset[str]:
    """Those of ``keys`` whose row another transaction has locked."""
    found: set[str] = set()
    for start in range(0, len(keys), KEYS_PER_LOOKUP):
        batch = keys[start : start + KEYS_PER_LOOKUP]
        # The last batch is filled up with repetitions of a key.
        batch = [*batch, *[batch[0]] * (KEYS_PER_LOOKUP - len(batch))]
        named = {f"key_{number}": key for number, key in enumerate(batch)}
        found.update(row.key_hash for row in tx.all(LOCKED, **named))
    return frozenset(found)
