"""The mapper of each entity, and the queries that several adapters use."""

from __future__ import annotations

from sqlalchemy import Column, ColumnElement, Table, bindparam

from services.runcontrol.core.exchange import Call, Decision, Delivery, Membership, Ticket, Wake
from services.runcontrol.core.model import Checkpoint, Dispatch, Lease, Run, Thread
from services.runcontrol.store import tables as t
from services.runcontrol.store.mapping import Mapper


def where(table: Table, *names: str) -> list[ColumnElement[bool]]:
    """Equality of columns with parameters of the same names."""
    return [_equal(table.c[name]) for name in names]


def _equal(column: Column[object]) -> ColumnElement[bool]:
    return column == bindparam(column.name, type_=column.type)


THREAD = Mapper(Thread, t.thread)
RUN = Mapper(Run, t.run)
DISPATCH = Mapper(Dispatch, t.dispatch)
LEASE = Mapper(Lease, t.lease)
CHECKPOINT = Mapper(Checkpoint, t.checkpoint)
CALL = Mapper(Call, t.tool_call)
TICKET = Mapper(Ticket, t.ticket)
DECISION = Mapper(Decision, t.decision, extra=("tenant", "ticket_id"))
WAKE = Mapper(Wake, t.wake)
DELIVERY = Mapper(Delivery, t.delivery)
MEMBERSHIP = Mapper(Membership, t.membership)

FIND_RUN = RUN.find(*where(t.run, "tenant", "run_id"))
FIND_TICKET = TICKET.find(*where(t.ticket, "tenant", "ticket_id"))
CALLS_OF_RUN = CALL.find(
    *where(t.tool_call, "tenant", "run_id"), order_by=(t.tool_call.c.step, t.tool_call.c.index)
)
OPEN_TICKETS_OF_RUN = TICKET.find(
    *where(t.ticket, "tenant", "run_id"),
    t.OPEN,
    order_by=(t.ticket.c.created_at, t.ticket.c.ticket_id),
)
