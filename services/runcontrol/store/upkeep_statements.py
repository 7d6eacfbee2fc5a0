"""The statements of what is deleted later, in slices."""

from __future__ import annotations

from sqlalchemy import bindparam, or_, select, tuple_

from services.chassis.store.columns import Integer
from services.chassis.store.statement import statement
from services.runcontrol.core.events import DELTAS
from services.runcontrol.store import tables as t
from services.runcontrol.store.statements import find, put, where
from services.runcontrol.store.upkeep_tables import covered

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
