"""Leases, and finding the work there is to do."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, select, update

from services.chassis.store.port import Tx
from services.chassis.store.statement import statement
from services.runcontrol.core.model import Lease
from services.runcontrol.core.ports import LeaseKey
from services.runcontrol.store import tables as t
from services.runcontrol.store.mappers import LEASE, where

_READY = statement(
    select(t.thread.c.tenant, t.thread.c.thread_id)
    .where(t.READY, t.thread.c.ready_at <= bindparam("now", type_=t.thread.c.ready_at.type))
    .order_by(t.thread.c.ready_at, t.thread.c.tenant, t.thread.c.thread_id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_RENEW = statement(
    update(t.lease)
    .where(*where(t.lease, "tenant", "thread_id", "fence", "instance_id"))
    .values(until=bindparam("to_until", type_=t.lease.c.until.type))
    .returning(*t.lease.c)
)
_LAPSED = LEASE.find(
    t.lease.c.until <= bindparam("now", type_=t.lease.c.until.type),
    order_by=(t.lease.c.until, t.lease.c.tenant, t.lease.c.thread_id),
    limit=bindparam("limit"),
)
_ALL = LEASE.find(order_by=(t.lease.c.tenant, t.lease.c.thread_id))
_DUE = statement(
    select(t.run.c.tenant, t.run.c.run_id)
    .where(
        t.IDLE,
        t.run.c.deadline_at <= bindparam("now", type_=t.run.c.deadline_at.type),
    )
    .order_by(t.run.c.deadline_at, t.run.c.tenant, t.run.c.run_id)
    .limit(bindparam("limit"))
)


class SqlLeases:
    """``LeaseTx`` on one transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def ready_threads(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        rows = self._tx.all(_READY, now=now, limit=limit)
        return [(row.tenant, row.thread_id) for row in rows]

    def renew(self, instance_id: str, held: frozenset[LeaseKey], until: datetime) -> list[Lease]:
        mine = {"instance_id": instance_id, "to_until": until}
        renewed = (
            LEASE.one(self._tx, _RENEW, tenant=tenant, thread_id=thread_id, fence=fence, **mine)
            # In one order, so that no two transactions wait for each other's rows.
            for tenant, thread_id, fence in sorted(held)
        )
        return [lease for lease in renewed if lease is not None]

    def lapsed(self, now: datetime, limit: int) -> list[Lease]:
        return list(LEASE.all(self._tx, _LAPSED, now=now, limit=limit))

    def leases(self) -> list[Lease]:
        return list(LEASE.all(self._tx, _ALL))

    def due_runs(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        return [(row.tenant, row.run_id) for row in self._tx.all(_DUE, now=now, limit=limit)]
