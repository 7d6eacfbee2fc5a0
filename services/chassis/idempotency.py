"""The answers of mutating calls, kept beside their effects so that a repeat gets the same one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Column, Index, MetaData, Table, bindparam, select, tuple_

from services.chassis.caller import RequestKey
from services.chassis.errors import IdempotencyConflictError
from services.chassis.store.columns import LargeBinary, Text, UtcMicros
from services.chassis.store.port import Tx
from services.chassis.store.statement import Statement, statement, upsert

KEEP_S = 7 * 86_400
# Each remembered answer clears this many that ran out: the table stays as long as it has to be.
_SWEEP_ROWS = 4


@dataclass(frozen=True, slots=True)
class _Statements:
    find: Statement
    put: Statement
    sweep: Statement


def requests_table(metadata: MetaData) -> Table:
    """The table ``request``; declare it once per service, its first migration creates it."""
    table = Table(
        "request",
        metadata,
        Column("tenant", Text, primary_key=True),
        Column("method", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("digest", LargeBinary, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("expires_at", UtcMicros, nullable=False),
        sqlite_strict=True,
    )
    Index("request_expires_at", table.c.expires_at)
    table.info["statements"] = _compile(table)
    return table


def _compile(table: Table) -> _Statements:
    c = table.c
    key = (c.tenant, c.method, c.key)
    put = upsert(table)
    expired = (
        select(*key)
        .where(c.expires_at <= bindparam("now"))
        .order_by(c.expires_at)
        .limit(_SWEEP_ROWS)
        .with_for_update(skip_locked=True)
    )
    return _Statements(
        find=statement(
            select(c.digest, c.body).where(
                c.tenant == bindparam("tenant"),
                c.method == bindparam("method"),
                c.key == bindparam("key"),
                c.expires_at > bindparam("now"),
            )
        ),
        put=statement(
            put.on_conflict_do_update(
                index_elements=key,
                set_={name: put.excluded[name] for name in ("digest", "body", "expires_at")},
            )
        ),
        sweep=statement(table.delete().where(tuple_(*key).in_(expired))),
    )


class TxRequestLog:
    """``caller.RequestLog`` inside one transaction.

    Args:
        keep_s: How long a repeat finds the answer; the contract promises at least seven days.
    """

    def __init__(self, tx: Tx, table: Table, now: datetime, keep_s: float = KEEP_S) -> None:
        self._tx = tx
        self._statements: _Statements = table.info["statements"]
        self._now = now
        self._keep = timedelta(seconds=keep_s)

    def recall(self, request: RequestKey) -> bytes | None:
        # A repeat that overtakes its first waits here, and then finds the answer.
        self._tx.lock(f"request/{request.tenant}/{request.method}/{request.key}")
        found = self._tx.one(
            self._statements.find,
            tenant=request.tenant,
            method=request.method,
            key=request.key,
            now=self._now,
        )
        if found is None:
            return None
        if found.digest != request.digest:
            raise IdempotencyConflictError(
                f"request id {request.key} was used before with other content",
                request_id=request.key,
                method=request.method,
            )
        return bytes(found.body)

    def remember(self, request: RequestKey, body: bytes) -> None:
        self._tx.run(self._statements.sweep, now=self._now)
        self._tx.run(
            self._statements.put,
            tenant=request.tenant,
            method=request.method,
            key=request.key,
            digest=request.digest,
            body=body,
            expires_at=self._now + self._keep,
        )
