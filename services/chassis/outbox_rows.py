"""The table of an outbox and what a transaction does with it.

    put ──► pending ──► delivered      kept for a week without its payload, so that a second
               │                       put of the same id is still ignored
               └──────► dead           kept with its payload until redriven

A lane is one queue: rows leave it in the order of their puts. Only the head of a lane has a
``due_at``; finding work therefore costs what is due, not what is queued. Where several processes
send, a head has a ``holder`` as well, and ``due_at`` is when its lease ends: the lane of a sender
that died falls due like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import CheckConstraint, Column, Index, MetaData, Table, UniqueConstraint

from services.chassis.outbox_statements import RowState, RowStatements, compile_for
from services.chassis.store.columns import Integer, LargeBinary, Text, UtcMicros
from services.chassis.store.port import Tx

__all__ = [
    "CHANNEL",
    "DeadPlace",
    "DeadRow",
    "OutboxRow",
    "RowState",
    "dead_rows",
    "lock_lane",
    "outbox_table",
    "put",
    "redrive",
    "row_of",
    "statements_of",
]

CHANNEL = "outbox"


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One command to another service.

    Attributes:
        id: The key on which the receiver deduplicates.
        lane: Rows of one lane are delivered one after the other, in the order of their puts.
        seq: Position in the lane; changes when a dead row is redriven.
        payload: What ``put`` was given; empty once delivered.
        traceparent: Context of the span that caused the row; empty when there was none.
        attempts: Deliveries that failed since the put or the redrive.
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
    """Where a dead letter stands in the list of all: the oldest is first."""

    settled_at: datetime
    lane: str
    seq: int


# Before every dead letter.
_START = DeadPlace(datetime(1970, 1, 1, tzinfo=UTC), "", 0)


@dataclass(frozen=True, slots=True)
class DeadRow:
    """A row that its receiver refused for good, and why."""

    row: OutboxRow
    reason: str
    message: str
    settled_at: datetime

    @property
    def place(self) -> DeadPlace:
        return DeadPlace(self.settled_at, self.row.lane, self.row.seq)


def outbox_table(metadata: MetaData) -> Table:
    """The table ``outbox``; declare it once per service, its first migration creates it."""
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
    """Queue a command at the end of ``lane``, in the transaction of what caused it.

    An ``id`` that the lane has seen, in whatever state it is now, is ignored.

    Args:
        lane: The aggregate whose order matters, tenant included: ``default/pool-1``.
        traceparent: Captured on the event loop; a closure has no context of its own.
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
    tx.ring(CHANNEL)


def dead_rows(tx: Tx, table: Table, *, limit: int, after: DeadPlace | None = None) -> list[DeadRow]:
    """The oldest dead letters behind ``after``, the ``place`` of the last one of a page."""
    at, lane, seq = after or _START
    found = tx.all(
        statements_of(table).dead, after_at=at, after_lane=lane, after_seq=seq, limit=limit
    )
    return [DeadRow(row_of(row), row.reason, row.message, row.settled_at) for row in found]


def redrive(tx: Tx, table: Table, *, lane: str, id: str, now: datetime) -> bool:
    """Queue a dead letter again, at the end of its lane and under the same id.

    False when the lane has no dead letter of this id: a repeat changes nothing.
    """
    lock_lane(tx, lane)
    moved = tx.run(statements_of(table).redrive, lane=lane, id=id, now=now) == 1
    if moved:
        tx.ring(CHANNEL)
    return moved


def lock_lane(tx: Tx, lane: str) -> None:
    """Before a statement that decides by the lane's other rows: they must not change meanwhile.

    Without it, a put that still sees the head of another transaction's close would wait for a
    promotion that has passed.
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
