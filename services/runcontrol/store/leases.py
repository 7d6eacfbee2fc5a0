"""Leases, and the searches of the loops, in a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from services.chassis.clock import Clock
from services.chassis.store.port import Tx
from services.runcontrol.core.model import Lease
from services.runcontrol.core.ports import LAPSED, DueRun, LeaseKey
from services.runcontrol.store import statements as sql
from services.runcontrol.store.rows import every, one


class SqlLeases:
    """Implements ``LeaseTx`` on one transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def ready_tenants(self, now: datetime) -> list[str]:
        return [row.tenant for row in self._tx.all(sql.READY_TENANTS, now=now)]

    def ready_threads(self, tenant: str, now: datetime, limit: int) -> list[str]:
        rows = self._tx.all(sql.READY_THREADS, tenant=tenant, now=now, limit=limit)
        return [row.thread_id for row in rows]

    def executing(self) -> Mapping[str, int]:
        return {row.tenant: row.runs for row in self._tx.all(sql.EXECUTING)}

    def renew(self, instance_id: str, held: frozenset[LeaseKey], until: datetime) -> list[Lease]:
        mine = {"instance_id": instance_id, "to_until": until}
        # No row is waited for: one transaction can extend them all.
        found = (
            one(self._tx, Lease, sql.RENEW, **key, **mine)
            or one(self._tx, Lease, sql.OWN_LEASE, **key, instance_id=instance_id)
            for key in map(_key_of, sorted(held))
        )
        return [lease for lease in found if lease is not None]

    def lapsed(self, now: datetime, limit: int) -> list[Lease]:
        return list(every(self._tx, Lease, sql.LAPSED, now=now, limit=limit))

    def leases(self) -> list[Lease]:
        return list(every(self._tx, Lease, sql.LEASES))

    def due_runs(self, now: datetime, limit: int) -> list[DueRun]:
        return [tuple(row) for row in self._tx.all(sql.DUE_RUNS, now=now, limit=limit)]


def _key_of(held: LeaseKey) -> dict[str, object]:
    tenant, thread_id, fence = held
    return {"tenant": tenant, "thread_id": thread_id, "fence": fence}


class RunLeases:
    """Implements ``dead_holders.Leases`` on the leases of runs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def holders(self, tx: Tx) -> Iterable[str]:
        return [row.instance_id for row in tx.all(sql.LEASE_HOLDERS)]

    def release(self, tx: Tx, holder: str) -> None:
        """Let the leases lapse; the sweep ends the attempts under them."""
        now = self._clock.now()
        lapsed_at = now - timedelta(microseconds=1)  # a lease that ends now is still held
        if tx.changed(sql.LET_LAPSE, of_instance_id=holder, now=now, lapsed_at=lapsed_at):
            tx.notify(LAPSED)
