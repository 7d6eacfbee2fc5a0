"""Every statement of run control, compiled at import."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Table,
    TextClause,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
    update,
)

from services.chassis.store.statement import Statement, statement, upsert
from services.runcontrol.core.exchange import Call, Decision, Delivery, Membership, Ticket, Wake
from services.runcontrol.core.model import Checkpoint, Dispatch, Input, Lease, Run, Thread
from services.runcontrol.store import tables as t


def where(table: Table, *names: str) -> list[ColumnElement[bool]]:
    """Equality of columns with parameters of the same names."""
    return [_equal(table.c[name]) for name in names]


def _equal(column: Column[object]) -> ColumnElement[bool]:
    return column == bindparam(column.name, type_=column.type)


def find(table: Table, *conditions: ColumnElement[bool] | TextClause, **order: Any) -> Statement:
    """A query for whole rows; ``order_by`` and ``limit`` as of a select."""
    query = table.select().where(*conditions)
    if "order_by" in order:
        query = query.order_by(*order["order_by"])
    if "limit" in order:
        query = query.limit(order["limit"])
    return statement(query)


def on_living(table: Table) -> ColumnElement[bool]:
    """That the thread of a row is not deleted."""
    thread = t.thread.alias("deleted")
    same = (thread.c[name] == table.c[name] for name in ("tenant", "thread_id"))
    return ~exists().where(*same, thread.c.deleted_at.is_not(None)).correlate(table)


def put(table: Table) -> Statement:
    """Insert a row, or replace the one of its key."""
    keys = [column.name for column in table.primary_key.columns]
    insert = upsert(table)
    changed = {c.name: insert.excluded[c.name] for c in table.c if c.name not in keys}
    return statement(insert.on_conflict_do_update(index_elements=keys, set_=changed))


# By the entity that a row keeps.
PUT = {
    Thread: put(t.thread),
    Run: put(t.run),
    Dispatch: put(t.dispatch),
    Lease: put(t.lease),
    Checkpoint: put(t.checkpoint),
    Call: put(t.tool_call),
    Ticket: put(t.ticket),
    Decision: put(t.decision),
    Wake: put(t.wake),
    Delivery: put(t.delivery),
    Membership: put(t.membership),
    Input: put(t.thread_input),
}

FIND_RUN = find(t.run, *where(t.run, "tenant", "run_id"))

FIND_TICKET = find(t.ticket, *where(t.ticket, "tenant", "ticket_id"), on_living(t.ticket))

OPEN_TICKETS_OF_RUN = find(
    t.ticket,
    *where(t.ticket, "tenant", "run_id"),
    t.OPEN,
    order_by=(t.ticket.c.created_at, t.ticket.c.ticket_id),
)

FIND_THREAD = statement(
    t.thread.select().where(*where(t.thread, "tenant", "thread_id")).with_for_update()
)

TRY_THREAD = statement(
    select(t.thread.c.thread_id)
    .where(*where(t.thread, "tenant", "thread_id"))
    .with_for_update(skip_locked=True)
)

THREAD_OF_RUN = statement(select(t.run.c.thread_id).where(*where(t.run, "tenant", "run_id")))

DISPATCHES = find(t.dispatch, *where(t.dispatch, "tenant", "dispatch_id"))

FIND_LEASE = find(
    t.lease, *where(t.lease, "tenant", "thread_id"), t.lease.c.run_id == bindparam("run_id")
)

CALLS_OF_STEP = find(
    t.tool_call, *where(t.tool_call, "tenant", "run_id", "step"), order_by=(t.tool_call.c.index,)
)

LIVE_TICKETS = find(
    t.ticket,
    *where(t.ticket, "tenant", "run_id"),
    t.LIVE,
    order_by=(t.ticket.c.created_at, t.ticket.c.ticket_id),
)

# Without what they say, and how large that is: every delta of a stream loads the inputs of its run.
_UNREAD = (
    *(c for c in t.thread_input.c if c.name != "messages"),
    func.length(t.thread_input.c.messages).label("size_bytes"),
)

UNREAD_INPUTS = statement(
    select(*_UNREAD)
    .where(*where(t.thread_input, "tenant", "run_id"), t.PENDING)
    .order_by(t.thread_input.c.seq)
)

INPUT_BODY = statement(
    select(t.thread_input.c.messages).where(*where(t.thread_input, "tenant", "input_id"))
)

FIND_INPUT = find(t.thread_input, *where(t.thread_input, "tenant", "input_id"))

INPUTS_OF_THREAD = statement(
    select(*_UNREAD)
    .where(
        *where(t.thread_input, "tenant", "thread_id"),
        t.PENDING,
        t.thread_input.c.seq > bindparam("after"),
    )
    .order_by(t.thread_input.c.seq)
    .limit(bindparam("limit"))
)

WAKES = find(
    t.wake,
    *where(t.wake, "tenant", "run_id"),
    t.UNTAKEN,
    order_by=(t.wake.c.received_at, t.wake.c.pool_id, t.wake.c.condition_id),
)

DELIVERIES = find(
    t.delivery,
    *where(t.delivery, "tenant", "run_id"),
    t.UNSHOWN,
    order_by=(t.delivery.c.position, t.delivery.c.pool_id, t.delivery.c.message_id),
)

MEMBERSHIPS = find(
    t.membership, *where(t.membership, "tenant", "run_id"), order_by=(t.membership.c.pool_id,)
)

_OPEN_RUN_FIRST = case((t.dispatch.c.run_id == bindparam("open_run_id"), 0), else_=1)
_BY_ARRIVAL = (t.dispatch.c.priority, t.dispatch.c.seq)
_at = bindparam("now", type_=t.dispatch.c.available_at.type)
_DUE_FIRST = case((t.dispatch.c.available_at > _at, t.dispatch.c.available_at), else_=_at)

QUEUE_HEAD = find(
    t.dispatch,
    *where(t.dispatch, "tenant", "thread_id", "epoch"),
    t.QUEUED,
    order_by=(_OPEN_RUN_FIRST, _DUE_FIRST, *_BY_ARRIVAL),
    limit=1,
)

QUEUE = find(
    t.dispatch,
    *where(t.dispatch, "tenant", "thread_id"),
    t.QUEUED,
    order_by=(_OPEN_RUN_FIRST, *_BY_ARRIVAL),
)

SET_READY = statement(
    update(t.thread)
    .where(*where(t.thread, "tenant", "thread_id"))
    .values(ready_at=bindparam("to_ready_at", type_=t.thread.c.ready_at.type))
)

RUN_OF_DISPATCH = statement(
    select(t.dispatch.c.run_id).where(*where(t.dispatch, "tenant", "dispatch_id"))
)

ADD_EVENT = statement(t.event.insert())

ADD_MESSAGE = statement(t.message.insert())

DROP_LEASE = statement(t.lease.delete().where(*where(t.lease, "tenant", "thread_id")))

PIN = statement(upsert(t.pinned_spec).on_conflict_do_nothing())

PINNED = statement(select(t.pinned_spec.c.body).where(*where(t.pinned_spec, "tenant", "digest")))

_NOW = bindparam("now", type_=t.thread.c.ready_at.type)


def _queued_tenant_after(tenant: Any) -> Any:
    first = select(func.min(t.thread.c.tenant)).where(t.READY)
    return first.where(t.thread.c.tenant > tenant).scalar_subquery()


# From tenant to tenant through the index: a tenant's backlog costs nothing.
_queued = select(_queued_tenant_after(literal("")).label("tenant")).cte("queued", recursive=True)
_queued = _queued.union_all(
    select(_queued_tenant_after(_queued.c.tenant)).where(_queued.c.tenant.is_not(None))
)
READY_TENANTS = statement(
    select(_queued.c.tenant)
    .where(
        _queued.c.tenant.is_not(None),
        exists()
        .where(t.thread.c.tenant == _queued.c.tenant, t.READY, t.thread.c.ready_at <= _NOW)
        .correlate(_queued),
    )
    .order_by(_queued.c.tenant)
)

EXECUTING = statement(
    select(t.lease.c.tenant, func.count().label("runs")).group_by(t.lease.c.tenant)
)

READY_THREADS = statement(
    select(t.thread.c.thread_id)
    .where(t.thread.c.tenant == bindparam("tenant"), t.READY, t.thread.c.ready_at <= _NOW)
    .order_by(t.thread.c.ready_at, t.thread.c.thread_id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)

_OWN = where(t.lease, "tenant", "thread_id", "fence", "instance_id")

OWN_LEASE = find(t.lease, *_OWN)

RENEW = statement(
    update(t.lease)
    .where(
        tuple_(t.lease.c.tenant, t.lease.c.thread_id).in_(
            select(t.lease.c.tenant, t.lease.c.thread_id)
            .where(*_OWN)
            .with_for_update(skip_locked=True)
        )
    )
    .values(until=bindparam("to_until", type_=t.lease.c.until.type))
    .returning(*t.lease.c)
)


def _thread_of(table: Table) -> ColumnElement[bool]:
    same = (table.c[name] == t.thread.c[name] for name in ("tenant", "thread_id"))
    return and_(*same)


LAPSED = statement(
    select(*t.lease.c)
    .join(t.thread, _thread_of(t.lease))
    .where(t.lease.c.until < bindparam("now", type_=t.lease.c.until.type))
    .order_by(t.lease.c.until, t.lease.c.tenant, t.lease.c.thread_id)
    .limit(bindparam("limit"))
    .with_for_update(of=t.thread, skip_locked=True)
)

LEASE_HOLDERS = statement(select(t.lease.c.instance_id).distinct())

_held = (
    select(t.lease.c.tenant, t.lease.c.thread_id)
    .where(
        t.lease.c.instance_id == bindparam("of_instance_id"),
        t.lease.c.until > bindparam("now", type_=t.lease.c.until.type),
    )
    .with_for_update(skip_locked=True)
)
LET_LAPSE = statement(
    update(t.lease)
    .where(tuple_(t.lease.c.tenant, t.lease.c.thread_id).in_(_held))
    .values(until=bindparam("lapsed_at", type_=t.lease.c.until.type))
)

LEASES = find(t.lease, order_by=(t.lease.c.tenant, t.lease.c.thread_id))

DUE_RUNS = statement(
    select(t.run.c.tenant, t.run.c.thread_id, t.run.c.run_id)
    .join(t.thread, _thread_of(t.run))
    .where(
        t.IDLE,
        t.thread.c.deleted_at.is_(None),
        t.run.c.deadline_at <= bindparam("now", type_=t.run.c.deadline_at.type),
    )
    .order_by(t.run.c.deadline_at, t.run.c.tenant, t.run.c.run_id)
    .limit(bindparam("limit"))
    .with_for_update(of=t.thread, skip_locked=True)
)

EXPIRED_TICKETS = statement(
    select(t.ticket.c.tenant, t.ticket.c.thread_id, t.ticket.c.run_id, t.ticket.c.ticket_id)
    .join(t.thread, _thread_of(t.ticket))
    .where(t.EXPIRING, t.ticket.c.expires_at <= bindparam("now", type_=t.ticket.c.expires_at.type))
    .order_by(t.ticket.c.expires_at, t.ticket.c.tenant, t.ticket.c.ticket_id)
    .limit(bindparam("limit"))
    .with_for_update(of=t.thread, skip_locked=True)
)

LIVE_OF_CALL = find(
    t.ticket,
    *where(t.ticket, "tenant", "run_id"),
    t.LIVE,
    or_(t.ticket.c.call_id == bindparam("call"), t.ticket.c.model_call_id == bindparam("call")),
    order_by=(t.ticket.c.created_at, t.ticket.c.ticket_id),
)

# Without the key of its ticket, which is no field of a decision.
FIND_DECISION = statement(
    select(*(c for c in t.decision.c if c.name not in {"tenant", "ticket_id"})).where(
        *where(t.decision, "tenant", "ticket_id", "decision_id")
    )
)

WAITING_CALL = find(t.tool_call, *where(t.tool_call, "tenant", "run_id", "condition_id"))

FIND_WAKE = find(t.wake, *where(t.wake, "tenant", "pool_id", "condition_id"))

SHOWN = statement(
    select(t.delivery.c.message_id).where(
        *where(t.delivery, "tenant", "run_id", "pool_id", "message_id"), text("shown")
    )
)

HEAD_OF_RUN = statement(
    select(t.run.c.event_seq, t.run.c.state, t.thread.c.deleted_at)
    .join(t.thread, _thread_of(t.run))
    .where(*where(t.run, "tenant", "run_id"))
)

HEAD_OF_THREAD = statement(
    select(t.thread.c.event_seq, t.thread.c.deleted_at).where(
        *where(t.thread, "tenant", "thread_id")
    )
)


def _event_sizes(of: str, seq: str) -> Statement:
    return statement(
        select(t.event.c[seq].label("seq"), func.length(t.event.c.body).label("size_bytes"))
        .where(*where(t.event, "tenant", of), t.event.c[seq] > bindparam("after"))
        .order_by(t.event.c[seq])
        .limit(bindparam("limit"))
    )


def _events(of: str, seq: str) -> Statement:
    return statement(
        select(t.event.c[seq].label("seq"), t.event.c.body)
        .where(*where(t.event, "tenant", of), t.event.c[seq] > bindparam("after"))
        .where(t.event.c[seq] <= bindparam("until"))
        .order_by(t.event.c[seq])
    )


EVENT_SIZES = _event_sizes("run_id", "run_seq")
EVENTS = _events("run_id", "run_seq")
THREAD_EVENT_SIZES = _event_sizes("thread_id", "thread_seq")
THREAD_EVENTS = _events("thread_id", "thread_seq")

MESSAGES = statement(
    select(*(t.message.c[name] for name in ("seq", "run_id", "origin", "body", "created_at")))
    .where(*where(t.message, "tenant", "thread_id"), t.message.c.seq > bindparam("after"))
    .order_by(t.message.c.seq)
)

TICKETS = statement(
    t.ticket.select()
    .where(
        *where(t.ticket, "tenant", "state"),
        on_living(t.ticket),
        or_(bindparam("run_id") == "", t.ticket.c.run_id == bindparam("run_id")),
        or_(bindparam("thread_id") == "", t.ticket.c.thread_id == bindparam("thread_id")),
        or_(
            t.ticket.c.created_at > bindparam("after_at", type_=t.ticket.c.created_at.type),
            (t.ticket.c.created_at == bindparam("after_at", type_=t.ticket.c.created_at.type))
            & (t.ticket.c.ticket_id > bindparam("after_id")),
        ),
    )
    .order_by(t.ticket.c.created_at, t.ticket.c.ticket_id)
    .limit(bindparam("limit"))
)
