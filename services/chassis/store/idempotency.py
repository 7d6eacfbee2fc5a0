"""Stored answers of mutating calls, written with their effects: a repeat gets the same answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Index, MetaData, Table, bindparam, select, tuple_

from services.chassis.caller import RequestKey
from services.chassis.errors import IdempotencyConflictError
from services.chassis.store.columns import LargeBinary, Text, UtcMicros
from services.chassis.store.port import Tx
from services.chassis.store.statement import Statement, statement, upsert

KEEP_S = 7 * 86_400
# Each new answer deletes up to this many expired ones, so that the table does not grow for ever.
_SWEEP_ROWS = 4
# The fields of ``RequestKey`` that identify a request.
_COLUMNS = ("tenant", "subject", "acting_run", "method", "key")


@dataclass(frozen=True, slots=True)
class _Statements:
    find: Statement
    put: Statement
    sweep: Statement


def requests_table(metadata: MetaData, *more: Column[Any]) -> Table:
    """Declare the table ``request``, once per service; the service's first migration creates it.

    Args:
        more: Columns of the service's own, whose values it gives to ``remember``.
    """
    table = Table(
        "request",
        metadata,
        *(Column(name, Text, primary_key=True) for name in _COLUMNS),
        Column("digest", LargeBinary, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("expires_at", UtcMicros, nullable=False),
        *more,
        sqlite_strict=True,
    )
    Index("request_expires_at", table.c.expires_at)
    table.info["statements"] = _compile(table)
    return table


def _compile(table: Table) -> _Statements:
    c = table.c
    key = tuple(c[name] for name in _COLUMNS)
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
                *(c[name] == bindparam(name) for name in _COLUMNS),
                c.expires_at > bindparam("now"),
            )
        ),
        put=statement(
            put.on_conflict_do_update(
                index_elements=key,
                set_={
                    each.name: put.excluded[each.name] for each in c if each.name not in _COLUMNS
                },
            )
        ),
        sweep=statement(table.delete().where(tuple_(*key).in_(expired))),
    )


class TxRequestLog:
    """``caller.RequestLog`` inside one transaction.

    Args:
        keep_s: Seconds for which an answer is kept; the contract promises at least seven days.
    """

    def __init__(self, tx: Tx, table: Table, now: datetime, keep_s: float = KEEP_S) -> None:
        self._tx = tx
        self._statements: _Statements = table.info["statements"]
        self._now = now
        self._keep = timedelta(seconds=keep_s)

    def recall(self, request: RequestKey) -> bytes | None:
        # A repeat that runs beside the first request waits here and then finds its answer.
        key = _columns(request)
        self._tx.lock(f"request/{list(key.values())}")
        found = self._tx.one(self._statements.find, **key, now=self._now)
        if found is None:
            return None
        if found.digest != request.digest:
            raise IdempotencyConflictError(
                f"request id {request.key} was used before with other content",
                request_id=request.key,
                method=request.method,
            )
        return bytes(found.body)

    def remember(self, request: RequestKey, body: bytes, **more: object) -> None:
        self._tx.run(self._statements.sweep, now=self._now)
        self._tx.run(
            self._statements.put,
            **_columns(request),
            digest=request.digest,
            body=body,
            expires_at=self._now + self._keep,
            **more,
        )


def _columns(request: RequestKey) -> dict[str, str]:
    return {name: getattr(request, name) for name in _COLUMNS}
