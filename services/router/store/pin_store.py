"""Pins in the database: written behind, read at start."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, select

from services.chassis.store.port import Row, Store, Tx
from services.chassis.store.statement import UpsertInsert, statement, upsert
from services.router.core.failures import FailureClass
from services.router.core.pins import Pin, PinKey
from services.router.store.tables import pin

_SECOND_US = 1_000_000


def _put() -> UpsertInsert:
    put = upsert(pin)
    key = (pin.c.tenant, pin.c.pool_id, pin.c.session)
    rest = [column.name for column in pin.columns if column not in set(key)]
    return put.on_conflict_do_update(
        index_elements=list(key), set_={name: put.excluded[name] for name in rest}
    )


_PUT = statement(_put())
_DROP = statement(
    delete(pin).where(
        pin.c.tenant == bindparam("of_tenant"),
        pin.c.pool_id == bindparam("of_pool"),
        pin.c.session == bindparam("of_session"),
    )
)
_NEWEST = statement(select(pin).order_by(pin.c.used_at.desc()).limit(bindparam("most")))


class SqlPinStore:
    """Implements ``PinStore``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self, limit: int) -> list[Pin]:
        return [_pin(row) for row in await self._store.fetch(_NEWEST, most=limit)]

    async def save(self, pins: Sequence[Pin], gone: Sequence[PinKey]) -> None:
        # In one order, so that no two replicas wait for each other's rows.
        rows = [_row(held) for held in sorted(pins, key=lambda pin: pin.key)]
        keys = [
            {"of_tenant": tenant, "of_pool": pool_id, "of_session": session}
            for tenant, pool_id, session in sorted(gone)
        ]

        def write(tx: Tx) -> None:
            # Copies: binding converts the values of the mapping it is given.
            tx.run_many(_PUT, [dict(row) for row in rows])
            tx.run_many(_DROP, [dict(key) for key in keys])

        await self._store.write(write)


def _row(held: Pin) -> dict[str, object]:
    return {
        "tenant": held.tenant,
        "pool_id": held.pool_id,
        "session": held.session,
        "revision": held.revision,
        "member_id": held.member_id,
        "home_member_id": held.home_member_id,
        "reason": "" if held.reason is None else held.reason.value,
        "run_id": held.run_id,
        "moved_at": held.moved_at,
        "used_at": held.used_at,
        "ttl_us": round(held.ttl_s * _SECOND_US),
        "traceparent": held.traceparent,
    }


def _pin(row: Row) -> Pin:
    return Pin(
        tenant=row.tenant,
        pool_id=row.pool_id,
        session=row.session,
        revision=row.revision,
        member_id=row.member_id,
        home_member_id=row.home_member_id,
        reason=FailureClass(row.reason) if row.reason else None,
        run_id=row.run_id,
        moved_at=row.moved_at,
        used_at=row.used_at,
        ttl_s=row.ttl_us / _SECOND_US,
        traceparent=row.traceparent,
    )
