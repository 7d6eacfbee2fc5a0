"""The statements of what is deleted later, in slices."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Table,
    TextClause,
    bindparam,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
)

from services.chassis.outbox.statements import forget_for
from services.chassis.store.columns import Integer
from services.chassis.store.statement import Statement, statement
from services.runcontrol.core.commands import (
    AckCommand,
    CancelRunCommand,
    CancelWakeCommand,
    RunEndedCommand,
)
from services.runcontrol.core.events import DELTAS
from services.runcontrol.store import tables as t
from services.runcontrol.store.statements import find, put, where
from services.runcontrol.store.ticket_tables import ticket_change
from services.runcontrol.store.upkeep_tables import covered, deleted_run

PUT_COVERED = put(covered)

COVERED = find(
    covered,
    covered.c.covered_at <= bindparam("until", type_=covered.c.covered_at.type),
    order_by=(covered.c.covered_at, covered.c.tenant, covered.c.run_id, covered.c.last_run_seq),
    limit=bindparam("limit"),
)

TRY_COVERED = statement(
    select(covered.c.run_id)
    .where(*where(covered, "tenant", "run_id", "last_run_seq"))
    .with_for_update(skip_locked=True)
)

DROP_COVERED = statement(
    covered.delete().where(*where(covered, "tenant", "run_id", "last_run_seq"))
)

_deltas = (
    select(t.event.c.tenant, t.event.c.thread_id, t.event.c.thread_seq)
    .where(
        *where(t.event, "tenant", "run_id"),
        t.event.c.run_seq >= bindparam("first", type_=Integer),
        t.event.c.run_seq <= bindparam("last", type_=Integer),
        or_(*(t.event.c.kind == delta.__name__ for delta in DELTAS)),
    )
    .order_by(t.event.c.run_seq)
    .limit(bindparam("limit", type_=Integer))
)
DROP_DELTAS = statement(
    t.event.delete().where(
        tuple_(t.event.c.tenant, t.event.c.thread_id, t.event.c.thread_seq).in_(_deltas)
    )
)

_UNFINISHED = text("state <> 'done'")

UNFINISHED = statement(
    select(t.run.c.run_id)
    .where(*where(t.run, "tenant", "thread_id"), _UNFINISHED)
    # An expression, so that the planner does not read the runs of all threads in this order.
    .order_by(t.run.c.created_at, t.run.c.run_id.concat(""))
    .limit(bindparam("limit"))
)

COUNT_UNFINISHED = statement(
    select(func.count().label("runs"))
    .select_from(t.run)
    .where(*where(t.run, "tenant", "thread_id"), _UNFINISHED)
)

_of_run = select(t.run.c.thread_id).where(*where(t.run, "tenant", "run_id"))
_of_deleted = select(deleted_run.c.thread_id).where(*where(deleted_run, "tenant", "run_id"))
DELETED_THREAD_OF = find(
    t.thread,
    *where(t.thread, "tenant"),
    t.thread.c.deleted_at.is_not(None),
    t.thread.c.thread_id.in_(_of_run.union_all(_of_deleted)),
)

DELETED_THREADS = statement(
    select(t.thread.c.tenant, t.thread.c.thread_id)
    .where(t.UNPURGED)
    .order_by(t.thread.c.deleted_at, t.thread.c.tenant, t.thread.c.thread_id)
    .limit(bindparam("limit"))
)


def _tenant_after(tenant: Any) -> Any:
    first = select(func.min(t.thread.c.tenant)).where(t.LIVING)
    return first.where(t.thread.c.tenant > tenant).scalar_subquery()


# From tenant to tenant through the index.
_tenants = select(_tenant_after(literal("")).label("tenant")).cte("tenants", recursive=True)
_tenants = _tenants.union_all(
    select(_tenant_after(_tenants.c.tenant)).where(_tenants.c.tenant.is_not(None))
)
TENANTS = statement(select(_tenants.c.tenant).where(_tenants.c.tenant.is_not(None)))

IDLE_THREADS = statement(
    select(t.thread.c.thread_id)
    .where(
        *where(t.thread, "tenant"),
        t.LIVING,
        t.thread.c.updated_at < bindparam("until", type_=t.thread.c.updated_at.type),
        t.thread.c.active_run_id == "",
        t.thread.c.open_run_id == "",
        t.thread.c.ready_at.is_(None),
    )
    .order_by(t.thread.c.updated_at, t.thread.c.thread_id)
    .limit(bindparam("limit"))
)

# What tells others that the runs have ended is still sent; the end of a child has its output.
FORGET = forget_for(
    t.outbox,
    AckCommand.kind,
    CancelRunCommand.kind,
    CancelWakeCommand.kind,
    RunEndedCommand.kind,
)


def _slice(table: Table, *conditions: ColumnElement[bool] | TextClause) -> Statement:
    """Delete up to ``limit`` rows."""
    keys = [table.c[column.name] for column in table.primary_key.columns]
    chosen = select(*keys).where(*conditions).limit(bindparam("limit", type_=Integer))
    return statement(table.delete().where(tuple_(*keys).in_(chosen)))


# By tenant and thread.
PURGE_THREAD = (
    *(_slice(table, *where(table, "tenant", "thread_id")) for table in (t.event, t.message)),
    _slice(t.request, *where(t.request, "tenant", "thread_id"), t.OF_THREAD),
    # None is queued any more.
    _slice(t.dispatch, *where(t.dispatch, "tenant", "thread_id"), t.BEGUN),
)

_of_tickets = select(t.ticket.c.ticket_id).where(*where(t.ticket, "tenant", "run_id"))
_of_wakes = where(t.wake, "tenant", "run_id")
# By tenant and run; what belongs to a ticket before the tickets by which it is found.
PURGE_RUN = (
    *(
        _slice(table, *where(table, "tenant"), table.c.ticket_id.in_(_of_tickets))
        for table in (t.decision, ticket_change)
    ),
    _slice(t.wake, *_of_wakes, t.TAKEN),
    _slice(t.wake, *_of_wakes, t.UNTAKEN),
    *(
        _slice(table, *where(table, "tenant", "run_id"))
        for table in (
            t.ticket,
            t.tool_call,
            t.thread_input,
            t.checkpoint,
            t.delivery,
            t.membership,
            covered,
        )
    ),
)

RUNS_OF_THREAD = statement(
    select(t.run.c.run_id).where(*where(t.run, "tenant", "thread_id")).limit(bindparam("limit"))
)

BURY = put(deleted_run)

DROP_RUN = statement(t.run.delete().where(*where(t.run, "tenant", "run_id")))
