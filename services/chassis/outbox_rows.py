"""The table of an outbox and what a transaction does with it.

    put ──► pending ──► delivered      kept for a week without its payload, so that a second
               │                       put of the same id is still ignored
               └──────► dead           kept with its payload until redriven

A lane is one queue: rows leave it in the order of their puts. Only the head of a lane has a
``due_at``; finding work therefore costs what is due, not what is queued.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    MetaData,
    Table,
    UniqueConstraint,
    bindparam,
    case,
    func,
    null,
    select,
    tuple_,
)

from services.chassis.store.columns import Integer, LargeBinary, Text, UtcMicros
from services.chassis.store.port import Tx
from services.chassis.store.statement import Statement, statement, upsert

CHANNEL = "outbox"


class RowState(IntEnum):
    PENDING = 0
    DELIVERED = 1
    DEAD = 2


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


@dataclass(frozen=True, slots=True)
class DeadRow:
    """A row that its receiver refused for good, and why."""

    row: OutboxRow
    reason: str
    message: str
    settled_at: datetime


@dataclass(frozen=True, slots=True)
class RowStatements:
    put: Statement
    due: Statement
    next_due: Statement
    close: Statement
    promote: Statement
    postpone: Statement
    dead: Statement
    redrive: Statement
    prune: Statement


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
    table.info["statements"] = _compile(table)
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


def dead_rows(tx: Tx, table: Table, *, limit: int) -> list[DeadRow]:
    """The oldest dead letters."""
    return [
        DeadRow(row_of(each), each.reason, each.message, each.settled_at)
        for each in tx.all(statements_of(table).dead, limit=limit)
    ]


def redrive(tx: Tx, table: Table, *, lane: str, id: str, now: datetime) -> bool:
    """Queue a dead letter again, at the end of its lane; False when there is none of this id."""
    moved = tx.run(statements_of(table).redrive, lane=lane, id=id, now=now)
    tx.ring(CHANNEL)
    return moved == 1


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


def _compile(table: Table) -> RowStatements:
    c = table.c
    row = (c.lane, c.seq, c.id, c.kind, c.payload, c.traceparent, c.attempts, c.created_at)
    this = (c.lane == bindparam("lane"), c.seq == bindparam("seq"), c.state == RowState.PENDING)
    due = select(*row).where(c.due_at <= bindparam("now")).order_by(c.due_at, c.lane)
    after = table.alias("after")
    following = (
        select(func.min(after.c.seq))
        .where(after.c.lane == bindparam("lane"), after.c.seq > bindparam("seq"))
        .scalar_subquery()
    )
    dead = select(*row, c.reason, c.message, c.settled_at).where(
        c.state == RowState.DEAD, c.settled_at.is_not(None)
    )
    return RowStatements(
        put=statement(_put(table)),
        due=statement(due.limit(bindparam("limit", type_=Integer))),
        next_due=statement(
            select(func.min(c.due_at).label("due_at")).where(c.due_at > bindparam("now"))
        ),
        close=statement(
            table.update()
            .where(*this)
            .values(
                state=bindparam("to_state"),
                due_at=null(),
                settled_at=bindparam("now"),
                payload=bindparam("to_payload"),
                reason=bindparam("to_reason"),
                message=bindparam("to_message"),
            )
        ),
        promote=statement(
            table.update()
            .where(c.lane == bindparam("lane"), c.seq == following)
            .values(due_at=bindparam("now"))
            .returning(*row)
        ),
        postpone=statement(
            table.update()
            .where(*this)
            .values(
                attempts=c.attempts + 1,
                due_at=bindparam("to_due_at"),
                reason=bindparam("to_reason"),
                message=bindparam("to_message"),
            )
        ),
        dead=statement(
            dead.order_by(c.settled_at, c.lane, c.seq).limit(bindparam("limit", type_=Integer))
        ),
        redrive=statement(_redrive(table)),
        prune=statement(_prune(table)),
    )


def _due_if_head(table: Table) -> Any:
    """``now`` when nothing of the lane is pending, else NULL: the row waits for its turn."""
    head = table.alias("head")
    has_head = (
        select(head.c.seq)
        .where(head.c.lane == bindparam("lane"), head.c.due_at.is_not(None))
        .exists()
    )
    return case((has_head, null()), else_=bindparam("now", type_=UtcMicros))


def _next_seq(table: Table) -> Any:
    tail = table.alias("tail")
    last = select(func.max(tail.c.seq)).where(tail.c.lane == bindparam("lane")).scalar_subquery()
    return func.coalesce(last, 0) + 1


def _put(table: Table) -> Any:
    return (
        upsert(table)
        .values(
            lane=bindparam("lane"),
            seq=_next_seq(table),
            state=RowState.PENDING,
            attempts=0,
            created_at=bindparam("now"),
            due_at=_due_if_head(table),
            settled_at=null(),
            reason="",
            message="",
            **{name: bindparam(name) for name in ("id", "kind", "payload", "traceparent")},
        )
        .on_conflict_do_nothing(index_elements=[table.c.lane, table.c.id])
    )


def _redrive(table: Table) -> Any:
    c = table.c
    return (
        table.update()
        .where(c.lane == bindparam("lane"), c.id == bindparam("id"), c.state == RowState.DEAD)
        .values(
            seq=_next_seq(table),
            state=RowState.PENDING,
            attempts=0,
            due_at=_due_if_head(table),
            settled_at=null(),
            reason="",
            message="",
        )
    )


def _prune(table: Table) -> Any:
    c = table.c
    old = (
        select(c.lane, c.seq)
        .where(c.state == RowState.DELIVERED, c.settled_at <= bindparam("before"))
        .order_by(c.settled_at)
        .limit(bindparam("limit", type_=Integer))
        .with_for_update(skip_locked=True)
    )
    return table.delete().where(tuple_(c.lane, c.seq).in_(old))
