"""Implements ``core.ports.Store`` over the store of the chassis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from services.chassis.clock import Clock
from services.chassis.store.port import Store, Tx
from services.pool.core.events import DueTimer, Timer
from services.pool.core.ports import Reads as PoolReads
from services.pool.core.ports import Tx as PoolTx
from services.pool.store import statements as sql
from services.pool.store.tx import EncodeWake, SqlReads, SqlTx

T = TypeVar("T")


class SqlStore:
    """Implements ``core.ports.Store``."""

    def __init__(self, store: Store, clock: Clock, encode_wake: EncodeWake) -> None:
        self._store = store
        self._clock = clock
        self._encode_wake = encode_wake

    async def write(self, tenant: str, fn: Callable[[PoolTx], T]) -> T:
        return await self._store.write(lambda tx: fn(self.within(tx, tenant)))

    async def read(self, tenant: str, fn: Callable[[PoolReads], T]) -> T:
        return await self._store.read(lambda tx: fn(SqlReads(tx, tenant)))

    async def due_timers(self, limit: int, after: DueTimer | None = None) -> Sequence[DueTimer]:
        query = sql.NEXT_TIMERS if after is None else sql.NEXT_TIMERS_AFTER
        place = {} if after is None else _place(after)
        found = await self._store.read(lambda tx: tx.all(query, limit=limit, **place))
        return [
            DueTimer(row.tenant, row.pool_id, Timer(row.kind, row.subject_id, row.due_time))
            for row in found
        ]

    def within(self, tx: Tx, tenant: str) -> SqlTx:
        """The pools of ``tenant`` in a transaction that the caller has begun."""
        return SqlTx(tx, tenant, self._clock.now(), self._encode_wake)


def _place(due: DueTimer) -> dict[str, object]:
    timer = due.timer
    values = (timer.due_time, due.tenant, due.pool_id, timer.kind, timer.subject_id)
    return {f"after_{name}": value for name, value in zip(sql.TIMER_ORDER, values, strict=True)}
