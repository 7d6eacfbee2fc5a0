"""Tool workers and their calls, in a transaction."""

from __future__ import annotations

from datetime import datetime

from services.chassis.caller import in_tenant
from services.chassis.store.port import Tx
from services.runcontrol.core.exchange import Call
from services.runcontrol.core.ports import CallKey, Wanted
from services.runcontrol.core.worker_calls import CallRef, Worker
from services.runcontrol.store import worker_statements as sql
from services.runcontrol.store.rows import every, one, params_of


class SqlWorkers:
    """Implements ``WorkerTx`` on one transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def announce(self, tenant: str, tool_id: str, labels: tuple[str, ...], now: datetime) -> None:
        for label in ("", *labels):
            self._tx.run(sql.ANNOUNCE, tenant=tenant, tool_id=tool_id, label=label, seen_at=now)

    def announced(self, tenant: str, tool_id: str, label: str) -> bool:
        found = self._tx.one(sql.ANNOUNCED, tenant=tenant, tool_id=tool_id, label=label)
        return found is not None

    def begin_session(self, tenant: str, worker: Worker, now: datetime) -> int:
        # Two sessions of an instance may begin at once, where there is no row to lock yet.
        self._tx.lock(f"worker/{in_tenant(tenant, worker.instance_id)}")
        epoch = self.session_epoch(tenant, worker.instance_id) + 1
        self._tx.run(
            sql.PUT_SESSION,
            tenant=tenant,
            instance_id=worker.instance_id,
            worker_id=worker.worker_id,
            epoch=epoch,
            begun_at=now,
        )
        return epoch

    def session_epoch(self, tenant: str, instance_id: str) -> int:
        row = self._tx.one(sql.SESSION, tenant=tenant, instance_id=instance_id)
        return 0 if row is None else int(row.epoch)

    def ready_calls(self, tenant: str, wanted: Wanted, now: datetime, limit: int) -> list[CallKey]:
        rows = self._tx.all(
            sql.READY_CALLS, tenant=tenant, now=now, limit=limit, **params_of(wanted)
        )
        return [tuple(row) for row in rows]

    def longest_ready(self, tenant: str, tool_id: str, now: datetime, limit: int) -> list[Call]:
        found = every(
            self._tx, Call, sql.LONGEST_READY, tenant=tenant, tool_id=tool_id, now=now, limit=limit
        )
        return list(found)

    def keep_late_results(self, call: Call) -> None:
        self._tx.run(
            sql.KEEP_LATE_RESULTS,
            tenant=call.tenant,
            call_id=call.call_id,
            to_late_results=call.late_results,
        )

    def probed_calls(self, tenant: str, limit: int) -> list[Call]:
        return list(every(self._tx, Call, sql.PROBED_CALLS, tenant=tenant, limit=limit))

    def call(self, tenant: str, call_id: str) -> Call | None:
        return one(self._tx, Call, sql.FIND_CALL, tenant=tenant, call_id=call_id)

    def extend_call(self, tenant: str, ref: CallRef, worker: Worker, until: datetime) -> bool:
        extended = self._tx.changed(
            sql.EXTEND_CALL,
            tenant=tenant,
            call_id=ref.call_id,
            attempt=ref.attempt,
            fence=ref.fence,
            worker_instance=worker.instance_id,
            to_due_at=until,
        )
        return extended > 0

    def overdue_calls(self, now: datetime, limit: int) -> list[CallKey]:
        return [tuple(row) for row in self._tx.all(sql.OVERDUE_CALLS, now=now, limit=limit)]
