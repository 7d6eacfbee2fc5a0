"""The outbox table and the operations of a transaction on it.

    put ──► pending ──► delivered      kept for a week without its payload, so that a second
               │                       put of the same id is still ignored
               └──────► dead           kept for a week with its payload and the reason

A dead row is evidence: its sender was told that the command was refused, so it is never sent again.

A lane is one queue: rows are delivered in the order of their puts. Only the head of a lane has a
``due_at``, so the index of due rows does not grow with the queue. With several senders, a claimed
head also has a ``holder``, and its ``due_at`` is the end of the lease: the lane of a dead sender
becomes due then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import CheckConstraint, Column, Index, MetaData, Table, UniqueConstraint

from services.chassis.outbox.statements import RowStatements, compile_for
from services.chassis.store.columns import Integer, LargeBinary, Text, UtcMicros
from services.chassis.store.port import Tx
from services.chassis.store.statement import Statement

CHANNEL = "outbox"


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One command to another service.

    Attributes:
        id: The key by which the receiver deduplicates.
        lane: Rows of one lane are delivered one after the other, in the order of their puts.
        seq: Position in the lane.
        payload: The encoded command; empty once delivered.
        traceparent: Trace context of the span that caused the row; empty if there was none.
        attempts: Deliveries that failed.
    """

    lane: str
    seq: int
    id: str
    kind: str
    payload: bytes
    traceparent: str
    attempts: int
    created_at: datetime


class DeadPlace(NamedTuple):
    """The position of a dead letter in the list of all, oldest first."""

    settled_at: datetime
    lane: str
    seq: int


# The position before the first dead letter.
_START = DeadPlace(datetime(1970, 1, 1, tzinfo=UTC), "", 0)


@dataclass(frozen=True, slots=True)
class DeadRow:
    """A row that its receiver refused permanently, and the reason."""

    row: OutboxRow
    reason: str
    message: str
    settled_at: datetime

    @property
    def place(self) -> DeadPlace:
        return DeadPlace(self.settled_at, self.row.lane, self.row.seq)


def outbox_table(metadata: MetaData) -> Table:
    """Declare the table ``outbox``, once per service; the service's first migration creates it."""
    table = Table(
        "outbox",
        metadata,
        Column("lane", Text, primary_key=True),
        Column("seq", Integer, primary_key=True, autoincrement=False),
        Column("id", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("traceparent", Text, nullable=False),
        Column("state", Integer, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("created_at", UtcMicros, nullable=False),
        Column("due_at", UtcMicros),
        Column("holder", Text, nullable=False, server_default=""),
        Column("settled_at", UtcMicros),
        Column("reason", Text, nullable=False),
        Column("message", Text, nullable=False),
        UniqueConstraint("lane", "id", name="outbox_lane_id"),
        CheckConstraint("state IN (0, 1, 2)", name="outbox_state"),
        sqlite_strict=True,
    )
    is_head = table.c.due_at.is_not(None)
    is_settled = table.c.settled_at.is_not(None)
    _partial_index("outbox_head", table.c.lane, where=is_head, unique=True)
    _partial_index("outbox_due", table.c.due_at, where=is_head)
    _partial_index("outbox_settled", table.c.state, table.c.settled_at, where=is_settled)
    table.info["statements"] = compile_for(table)
    return table


def put(
    tx: Tx,
    table: Table,
    *,
    id: str,
    lane: str,
    kind: str,
    payload: bytes,
    traceparent: str,
    now: datetime,
) -> None:
    """Queue a command at the end of ``lane``.

    If the lane has a row with this ``id``, in any state, nothing changes.

    Args:
        lane: Tenant and aggregate whose commands must stay in order: ``in_tenant(tenant, id)``.
        traceparent: Capture it on the event loop; a closure has no trace context.
    """
    lock_lane(tx, lane)
    tx.run(
        statements_of(table).put,
        id=id,
        lane=lane,
        kind=kind,
        payload=payload,
        traceparent=traceparent,
        now=now,
    )
    tx.notify(CHANNEL)


def forget(
    tx: Tx, statements: tuple[Statement, Statement], *, lane: str, limit: int, now: datetime
) -> int:
    """Delete up to ``limit`` rows of a lane whose aggregate is deleted; return how many.

    Args:
        statements: Of ``forget_for``, which says what pending rows are still sent.
    """
    delete, promote = statements
    lock_lane(tx, lane)
    deleted = tx.changed(delete, of_lane=lane, limit=limit)
    if deleted and tx.changed(promote, of_lane=lane, now=now):
        tx.notify(CHANNEL)
    return deleted


def dead_rows(tx: Tx, table: Table, *, limit: int, after: DeadPlace | None = None) -> list[DeadRow]:
    """Return the oldest dead letters after ``after``, the ``place`` of the previous page's last."""
    at, lane, seq = after or _START
    found = tx.all(
        statements_of(table).dead, after_at=at, after_lane=lane, after_seq=seq, limit=limit
    )
    return [DeadRow(row_of(row), row.reason, row.message, row.settled_at) for row in found]


def lock_lane(tx: Tx, lane: str) -> None:
    """Lock ``lane`` before a statement that depends on its other rows.

    Without the lock, a put that still sees a head that another transaction is closing would leave
    its row without ``due_at`` for ever: the close has already promoted the next row.
    """
    tx.lock(f"outbox/{lane}")


def statements_of(table: Table) -> RowStatements:
    compiled: RowStatements = table.info["statements"]
    return compiled


def row_of(row: Any) -> OutboxRow:
    return OutboxRow(
        lane=row.lane,
        seq=row.seq,
        id=row.id,
        kind=row.kind,
        payload=row.payload,
        traceparent=row.traceparent,
        attempts=row.attempts,
        created_at=row.created_at,
    )


def _partial_index(name: str, *columns: Column[Any], where: Any, unique: bool = False) -> None:
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)
