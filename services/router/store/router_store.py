"""Reads and writes pins in the database."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.failpoints import failpoint
from services.chassis.store.port import Store, Tx
from services.router.core.pins import Pin, PinKey
from services.router.store.rows import pin_of, pin_params
from services.router.store.statements import (
    DROP_PIN,
    KEYS_PER_LOOKUP,
    LOCKED_PINS,
    NEWEST_PINS,
    PUT_PIN,
)

# In the transaction, before its commit.
_PIN_WRITE = failpoint("router.pin_write")


class SqlRouterStore:
    """Implements ``ports.Store``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self, limit: int) -> list[Pin]:
        return [pin_of(row) for row in await self._store.fetch(NEWEST_PINS, most=limit)]

    async def save(self, pins: Sequence[Pin], gone: Sequence[PinKey]) -> frozenset[PinKey]:
        # Sorted, so that two replicas lock rows in one order.
        put = {pin.key: pin for pin in sorted(pins, key=lambda each: each.key)}
        drop = sorted(gone)

        def write(tx: Tx) -> frozenset[PinKey]:
            locked = frozenset() if self._store.sole_owner else _locked(tx, sorted([*put, *drop]))
            tx.run_many(PUT_PIN, [pin_params(put[key]) for key in put if key not in locked])
            tx.run_many(DROP_PIN, [_of(key) for key in drop if key not in locked])
            _PIN_WRITE.reach()
            return locked

        return await self._store.write(write)


def _locked(tx: Tx, keys: Sequence[PinKey]) -> frozenset[PinKey]:
    """Those of ``keys`` whose row another transaction has locked."""
    found: set[PinKey] = set()
    for start in range(0, len(keys), KEYS_PER_LOOKUP):
        batch = keys[start : start + KEYS_PER_LOOKUP]
        # The last batch is filled up with repetitions of a key.
        batch = [*batch, *[batch[0]] * (KEYS_PER_LOOKUP - len(batch))]
        named = {
            f"{name}_{number}": value
            for number, key in enumerate(batch)
            for name, value in zip(("tenant", "pool_id", "session"), key, strict=True)
        }
        found.update((row.tenant, row.pool_id, row.session) for row in tx.all(LOCKED_PINS, **named))
    return frozenset(found)


def _of(key: PinKey) -> dict[str, object]:
    tenant, pool_id, session = key
    return {"of_tenant": tenant, "of_pool": pool_id, "of_session": session}
