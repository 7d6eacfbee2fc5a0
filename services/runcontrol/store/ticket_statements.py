"""The statements of the changes of tickets."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, select

from services.chassis.store.statement import statement, upsert
from services.runcontrol.store import tables as t
from services.runcontrol.store import ticket_tables as c
from services.runcontrol.store.statements import find, on_living, put, where

_insert = upsert(c.ticket_head)
# Inserts the first head of a tenant, or raises the head by ``seq``.
RAISE_HEAD = statement(
    _insert.on_conflict_do_update(
        index_elements=["tenant"], set_={"seq": c.ticket_head.c.seq + _insert.excluded.seq}
    ).returning(c.ticket_head.c.seq)
)

PUT_CHANGE = put(c.ticket_change)

HEAD = find(c.ticket_head, *where(c.ticket_head, "tenant"))

CHANGES = statement(
    select(c.ticket_change.c.seq, *t.ticket.c)
    .select_from(
        c.ticket_change.join(
            t.ticket,
            and_(
                t.ticket.c.tenant == c.ticket_change.c.tenant,
                t.ticket.c.ticket_id == c.ticket_change.c.ticket_id,
            ),
        )
    )
    .where(
        *where(c.ticket_change, "tenant"),
        c.ticket_change.c.seq > bindparam("after"),
        on_living(t.ticket),
    )
    .order_by(c.ticket_change.c.seq)
    .limit(bindparam("limit"))
)
