"""What is deleted later, in slices, in a transaction."""

from __future__ import annotations

from datetime import datetime

from services.chassis.outbox.rows import forget
from services.chassis.store.port import Tx
from services.runcontrol.core.events import Covered
from services.runcontrol.core.model import Thread
from services.runcontrol.core.ports import ThreadKey
from services.runcontrol.store import upkeep_statements as sql
from services.runcontrol.store.rows import every, lane_of, one


class SqlTombstones:
    """Implements ``Tombstones`` on one transaction."""

    _tx: Tx

    def deleted_thread_of(self, tenant: str, run_id: str) -> Thread | None:
        return one(self._tx, Thread, sql.DELETED_THREAD_OF, tenant=tenant, run_id=run_id)


class SqlUpkeep(SqlTombstones):
    """Implements ``UpkeepTx`` on one transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def covered(self, until: datetime, limit: int) -> list[Covered]:
        return list(every(self._tx, Covered, sql.COVERED, until=until, limit=limit))

    def drop_deltas(self, of: Covered, limit: int) -> int | None:
        key = {"tenant": of.tenant, "run_id": of.run_id}
        row = {**key, "last_run_seq": of.last_run_seq}
        if self._tx.one(sql.TRY_COVERED, **row) is None:
            return None
        dropped = self._tx.changed(
            sql.DROP_DELTAS, **key, first=of.first_run_seq, last=of.last_run_seq, limit=limit
        )
        if dropped < limit:
            self._tx.run(sql.DROP_COVERED, **row)
        return dropped

    def unfinished(self, tenant: str, thread_id: str, limit: int) -> list[str]:
        rows = self._tx.all(sql.UNFINISHED, tenant=tenant, thread_id=thread_id, limit=limit)
        return [row.run_id for row in rows]

    def count_unfinished(self, tenant: str, thread_id: str) -> int:
        (row,) = self._tx.all(sql.COUNT_UNFINISHED, tenant=tenant, thread_id=thread_id)
        return int(row.runs)

    def tenants(self) -> list[str]:
        return [row.tenant for row in self._tx.all(sql.TENANTS)]

    def idle_threads(self, tenant: str, until: datetime, limit: int) -> list[str]:
        rows = self._tx.all(sql.IDLE_THREADS, tenant=tenant, until=until, limit=limit)
        return [row.thread_id for row in rows]

    def deleted_threads(self, limit: int) -> list[ThreadKey]:
        return [tuple(row) for row in self._tx.all(sql.DELETED_THREADS, limit=limit)]

    def purge(self, thread: Thread, now: datetime, limit: int, runs: int) -> bool:
        key = {"tenant": thread.tenant, "thread_id": thread.thread_id}
        lane = lane_of(thread.tenant, thread.thread_id)
        if forget(self._tx, sql.FORGET, lane=lane, limit=limit, now=now) == limit:
            return False
        if any(self._tx.changed(each, **key, limit=limit) == limit for each in sql.PURGE_THREAD):
            return False
        found = [row.run_id for row in self._tx.all(sql.RUNS_OF_THREAD, **key, limit=runs)]
        return all(self._bury(thread, run_id, limit) for run_id in found) and len(found) < runs

    def _bury(self, thread: Thread, run_id: str, limit: int) -> bool:
        """Delete a run and its rows, and keep its id; False if rows are left."""
        key = {"tenant": thread.tenant, "run_id": run_id}
        if any(self._tx.changed(each, **key, limit=limit) == limit for each in sql.PURGE_RUN):
            return False
        self._tx.run(sql.BURY, **key, thread_id=thread.thread_id)
        self._tx.run(sql.DROP_RUN, **key)
        return True
