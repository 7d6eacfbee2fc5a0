"""``core.ports.PoolStore`` over the chassis's store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from services.chassis.clock import Clock
from services.chassis.store.port import Store, Tx
from services.pool.core.events import (
    DueTimer,
    Timer,
    TimerKind,
)
from services.pool.core.ports import PoolReader, PoolTx
from services.pool.store import statements as sql
from services.pool.store.pool_tx import EncodeWake, SqlPoolReader, SqlPoolTx

T = TypeVar("T")


class SqlPoolStore:
    """Implements ``core.ports.PoolStore``."""

    def __init__(self, store: Store, clock: Clock, encode_wake: EncodeWake) -> None:
        self._store = store
        self._clock = clock
        self._encode_wake = encode_wake

    async def write(self, tenant: str, fn: Callable[[PoolTx], T]) -> T:
        return await self._store.write(lambda tx: fn(self.within(tx, tenant)))

    async def read(self, tenant: str, fn: Callable[[PoolReader], T]) -> T:
        return await self._store.read(lambda tx: fn(SqlPoolReader(tx, tenant)))

    async def due_timers(self, limit: int) -> Sequence[DueTimer]:
        found = await self._store.read(lambda tx: tx.all(sql.NEXT_TIMERS, limit=limit))
        return [
            DueTimer(
                row.tenant, row.pool_id, Timer(TimerKind(row.kind), row.subject_id, row.due_time)
            )
            for row in found
        ]

    def within(self, tx: Tx, tenant: str) -> SqlPoolTx:
        """The pools of ``tenant`` in a transaction that somebody else has begun."""
        return SqlPoolTx(tx, tenant, self._clock.now(), self._encode_wake)
