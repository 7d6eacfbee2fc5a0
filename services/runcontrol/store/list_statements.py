"""The statements of lists."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Table, TextClause, bindparam, func, or_, select, tuple_

from services.chassis.store.statement import statement
from services.runcontrol.store import tables as t
from services.runcontrol.store.statements import find, on_living, where


def _before(table: Table, at: str, name: str) -> Any:
    place = tuple_(
        bindparam("before_at", type_=table.c[at].type),
        bindparam("before_id", type_=table.c[name].type),
    )
    return tuple_(table.c[at], table.c[name]) < place


def _newest(
    table: Table, at: str, name: str, *keys: str, only: ColumnElement[bool] | TextClause
) -> Any:
    return find(
        table,
        *where(table, "tenant", *keys),
        only,
        _before(table, at, name),
        order_by=(table.c[at].desc(), table.c[name].desc()),
        limit=bindparam("limit"),
    )


RUNS = _newest(t.run, "created_at", "run_id", only=on_living(t.run))
RUNS_OF_THREAD = _newest(t.run, "created_at", "run_id", "thread_id", only=on_living(t.run))
THREADS = _newest(t.thread, "updated_at", "thread_id", only=t.LIVING)

THREAD = find(t.thread, *where(t.thread, "tenant", "thread_id"))

QUEUED = statement(
    select(func.count().label("dispatches"))
    .select_from(t.dispatch)
    .where(*where(t.dispatch, "tenant", "thread_id"), t.QUEUED)
)

DEAD = find(
    t.dispatch,
    *where(t.dispatch, "tenant"),
    t.DEAD,
    on_living(t.dispatch),
    t.dispatch.c.redriven_run_id == "",
    or_(bindparam("of_thread") == "", t.dispatch.c.thread_id == bindparam("of_thread")),
    tuple_(t.dispatch.c.created_at, t.dispatch.c.dispatch_id)
    > tuple_(
        bindparam("after_at", type_=t.dispatch.c.created_at.type),
        bindparam("after_id", type_=t.dispatch.c.dispatch_id.type),
    ),
    order_by=(t.dispatch.c.created_at, t.dispatch.c.dispatch_id),
    limit=bindparam("limit"),
)

INPUTS_OF_RUN = find(
    t.thread_input,
    *where(t.thread_input, "tenant", "run_id"),
    order_by=(t.thread_input.c.seq,),
)

MESSAGES = find(
    t.message,
    *where(t.message, "tenant", "thread_id"),
    t.message.c.seq > bindparam("after"),
    or_(bindparam("of_run") == "", t.message.c.run_id == bindparam("of_run")),
    order_by=(t.message.c.seq,),
    limit=bindparam("limit"),
)
