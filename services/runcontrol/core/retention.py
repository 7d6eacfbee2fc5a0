"""Deleting the threads that nobody has used for as long as their tenant keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial

from services.chassis.clock import Clock
from services.chassis.each_row import each_row
from services.runcontrol.core.deleting import THREADS_AT_ONCE, bury
from services.runcontrol.core.ports import Store, ThreadKey, Tx

BY_RETENTION = ""


class Retention:
    """Makes tombstones of old threads; ``Deletion.resume`` deletes what they leave.

    Args:
        days: For how long after its last use a thread is kept; 0 = for ever.
        days_of: The same for single tenants.
    """

    def __init__(self, store: Store, clock: Clock, days: int, days_of: Mapping[str, int]) -> None:
        self._store = store
        self._clock = clock
        self._days = days
        self._days_of = days_of

    @property
    def limited(self) -> bool:
        """Whether any thread is not kept for ever."""
        return bool(self._days or any(self._days_of.values()))

    async def bury_old(self) -> int:
        """Delete threads that have ended and are too old, at most 100; return how many."""
        old = await self._store.write(self._old)
        return sum(await each_row(old, self._bury, _thread_named))

    def _old(self, tx: Tx) -> list[ThreadKey]:
        found: list[ThreadKey] = []
        for tenant in tx.tenants():
            limit = THREADS_AT_ONCE - len(found)
            until = self._until(tenant)
            if until is not None and limit:
                found += [(tenant, each) for each in tx.idle_threads(tenant, until, limit)]
        return found

    def _until(self, tenant: str) -> datetime | None:
        """Threads of the tenant that were used last before this time are too old."""
        days = self._days_of.get(tenant, self._days)
        return self._clock.now() - timedelta(days=days) if days else None

    async def _bury(self, key: ThreadKey) -> int:
        return await self._store.write(partial(self._bury_one, key))

    def _bury_one(self, key: ThreadKey, tx: Tx) -> int:
        thread = tx.thread(*key) if tx.try_lock(*key) else None
        until = self._until(key[0])
        # It may have been used since it was found.
        if thread is None or until is None or thread.busy or thread.updated_at >= until:
            return 0
        bury(tx, thread, BY_RETENTION, self._clock.now())
        return 1


def _thread_named(key: ThreadKey) -> dict[str, object]:
    return {"thread_id": key[1], "work": "retention"}
