"""The SQL statements of an outbox, compiled once for the table of a service."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Table,
    and_,
    bindparam,
    case,
    func,
    not_,
    null,
    or_,
    select,
    tuple_,
)

from services.chassis.store.columns import Integer, Text, UtcMicros
from services.chassis.store.statement import Statement, statement, upsert


class RowState(IntEnum):
    PENDING = 0
    DELIVERED = 1
    DEAD = 2


@dataclass(frozen=True, slots=True)
class RowStatements:
    """The statements on one outbox table.

    Attributes:
        due: Selects due heads, for a single sender.
        next_due: Selects the due time of the next head.
        claim: Claims due heads for a holder until an instant.
        next_claim: Selects due time and holder of the next head that this holder does not hold.
        renew, release, release_all: Change the lease of one lane, or all leases of a holder.
        holders: Selects who holds a lane.
        held: Selects a lane that a holder has.
        release_dead: Ends all leases of a holder, except for rows that somebody has locked.
        close, postpone: End a delivery, only if the holder still has the lane.
        promote: Makes the row after a closed one the head.
        prune: Deletes rows of one state that were closed before an instant, oldest first.
    """

    put: Statement
    due: Statement
    next_due: Statement
    claim: Statement
    next_claim: Statement
    renew: Statement
    release: Statement
    release_all: Statement
    holders: Statement
    held: Statement
    release_dead: Statement
    close: Statement
    promote: Statement
    postpone: Statement
    dead: Statement
    prune: Statement


def compile_for(table: Table) -> RowStatements:
    close, promote, postpone = (statement(make(table)) for make in (_close, _promote, _postpone))
    renew, release, release_all = _leases(table)
    return RowStatements(
        put=statement(_put(table)),
        due=statement(_due(table)),
        next_due=statement(_next_due(table)),
        claim=statement(_claim(table)),
        next_claim=statement(_next_claim(table)),
        renew=renew,
        release=release,
        release_all=release_all,
        holders=statement(_holders(table)),
        held=statement(_held(table)),
        release_dead=statement(_release_dead(table)),
        close=close,
        promote=promote,
        postpone=postpone,
        dead=statement(_dead(table)),
        prune=statement(_prune(table)),
    )


def _row(table: Table) -> tuple[ColumnElement[Any], ...]:
    c = table.c
    return (c.lane, c.seq, c.id, c.kind, c.payload, c.traceparent, c.attempts, c.created_at)


def _limit() -> Any:
    return bindparam("limit", type_=Integer)


def _due(table: Table) -> Any:
    c = table.c
    due = select(*_row(table)).where(c.due_at <= bindparam("now"))
    return due.order_by(c.due_at, c.lane).limit(_limit())


def _next_due(table: Table) -> Any:
    due_at = table.c.due_at
    return select(func.min(due_at).label("due_at")).where(due_at > bindparam("now"))


def _claim(table: Table) -> Any:
    """The WITH applies the limit once; a subquery condition could be evaluated many times."""
    c = table.c
    picked = (
        select(c.lane, c.seq)
        .where(c.due_at <= bindparam("now"))
        .order_by(c.due_at, c.lane)
        .limit(_limit())
        .with_for_update(skip_locked=True)
        .cte("picked")
    )
    return (
        table.update()
        .where(c.lane == picked.c.lane, c.seq == picked.c.seq)
        .values(holder=bindparam("to_holder"), due_at=bindparam("to_due_at"))
        .returning(*_row(table))
    )


def _next_claim(table: Table) -> Any:
    c = table.c
    others = select(c.due_at, c.holder).where(
        c.due_at > bindparam("now"), c.holder != bindparam("holder")
    )
    return others.order_by(c.due_at).limit(1)


def _leases(table: Table) -> tuple[Statement, Statement, Statement]:
    c = table.c
    held = (c.due_at.is_not(None), c.holder == bindparam("of_holder"))
    one = (c.lane == bindparam("of_lane"), *held)
    mine = select(c.lane, c.seq).where(*one).with_for_update(skip_locked=True)
    renewed = (
        table.update()
        .where(tuple_(c.lane, c.seq).in_(mine))
        .values(due_at=bindparam("to_due_at", type_=UtcMicros))
    )
    free = {"holder": "", "due_at": bindparam("now", type_=UtcMicros)}
    return (
        statement(renewed),
        statement(table.update().where(*one).values(**free)),
        statement(table.update().where(*held).values(**free)),
    )


def _holders(table: Table) -> Any:
    c = table.c
    return select(c.holder).distinct().where(c.due_at.is_not(None), c.holder != "")


def _held(table: Table) -> Any:
    c = table.c
    return select(c.lane).where(
        c.lane == bindparam("of_lane"), c.due_at.is_not(None), c.holder == bindparam("of_holder")
    )


def _release_dead(table: Table) -> Any:
    c = table.c
    held = (
        select(c.lane, c.seq)
        .where(c.due_at.is_not(None), c.holder == bindparam("of_holder"))
        .with_for_update(skip_locked=True)
    )
    return (
        table.update()
        .where(tuple_(c.lane, c.seq).in_(held))
        .values(holder="", due_at=bindparam("now", type_=UtcMicros))
    )


def _this(table: Table) -> tuple[ColumnElement[bool], ...]:
    """Match a pending row that the holder still holds: a sender that lost the lane matches none."""
    c = table.c
    return (
        c.lane == bindparam("of_lane"),
        c.seq == bindparam("of_seq"),
        c.state == RowState.PENDING,
        c.holder == bindparam("of_holder"),
    )


def _close(table: Table) -> Any:
    return (
        table.update()
        .where(*_this(table))
        .values(
            state=bindparam("to_state"),
            due_at=null(),
            holder="",
            settled_at=bindparam("now"),
            payload=bindparam("to_payload"),
            reason=bindparam("to_reason"),
            message=bindparam("to_message"),
        )
    )


def _promote(table: Table) -> Any:
    c = table.c
    behind = table.alias("behind")
    following = (
        select(func.min(behind.c.seq))
        .where(behind.c.lane == bindparam("of_lane"), behind.c.seq > bindparam("of_seq"))
        .scalar_subquery()
    )
    return (
        table.update()
        .where(c.lane == bindparam("of_lane"), c.seq == following)
        .values(due_at=bindparam("to_due_at"), holder=bindparam("to_holder"))
        .returning(*_row(table))
    )


def _postpone(table: Table) -> Any:
    return (
        table.update()
        .where(*_this(table))
        .values(
            attempts=table.c.attempts + 1,
            due_at=bindparam("to_due_at"),
            holder="",
            reason=bindparam("to_reason"),
            message=bindparam("to_message"),
        )
    )


def _due_if_head(table: Table) -> Any:
    """``now`` if the lane has no head, else NULL: the row becomes due when it is promoted."""
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
    given: dict[str, Any] = {
        name: bindparam(name) for name in ("lane", "id", "kind", "payload", "traceparent")
    }
    fresh = {
        "seq": _next_seq(table),
        "state": RowState.PENDING,
        "attempts": 0,
        "due_at": _due_if_head(table),
        "holder": "",
        "settled_at": null(),
        "reason": "",
        "message": "",
    }
    return (
        upsert(table)
        .values(created_at=bindparam("now"), **given, **fresh)
        .on_conflict_do_nothing(index_elements=[table.c.lane, table.c.id])
    )


def _dead(table: Table) -> Any:
    c = table.c
    place = tuple_(c.settled_at, c.lane, c.seq)
    after = tuple_(
        bindparam("after_at", type_=UtcMicros),
        bindparam("after_lane", type_=Text),
        bindparam("after_seq", type_=Integer),
    )
    dead = select(*_row(table), c.reason, c.message, c.settled_at).where(
        c.state == RowState.DEAD, c.settled_at.is_not(None), place > after
    )
    return dead.order_by(c.settled_at, c.lane, c.seq).limit(_limit())


def _prune(table: Table) -> Any:
    c = table.c
    old = (
        select(c.lane, c.seq)
        .where(c.state == bindparam("of_state"), c.settled_at <= bindparam("before"))
        .order_by(c.settled_at)
        .limit(_limit())
        .with_for_update(skip_locked=True)
    )
    return table.delete().where(tuple_(c.lane, c.seq).in_(old))


def forget_for(table: Table, *kept: str) -> tuple[Statement, Statement]:
    """Delete rows of a lane, all but pending ones of the kinds ``kept``; make the next one due."""
    c = table.c
    is_kept = and_(c.state == RowState.PENDING, or_(*(c.kind == kind for kind in kept)))
    forgotten = (
        select(c.lane, c.seq)
        .where(c.lane == bindparam("of_lane"), not_(is_kept))
        .order_by(c.seq)
        .limit(_limit())
    )
    rest, head = table.alias("rest"), table.alias("head")
    following = select(func.min(rest.c.seq)).where(
        rest.c.lane == bindparam("of_lane"), rest.c.state == RowState.PENDING
    )
    has_head = select(head.c.seq).where(
        head.c.lane == bindparam("of_lane"), head.c.due_at.is_not(None)
    )
    promoted = (
        table.update()
        .where(
            c.lane == bindparam("of_lane"),
            c.seq == following.scalar_subquery(),
            not_(has_head.exists()),
        )
        .values(due_at=bindparam("now", type_=UtcMicros))
    )
    deleted = table.delete().where(tuple_(c.lane, c.seq).in_(forgotten))
    return statement(deleted), statement(promoted)
