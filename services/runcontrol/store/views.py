"""What readers see: runs, events, tickets and conversations."""

from __future__ import annotations

from sqlalchemy import bindparam, or_, select

from services.chassis.store.port import Store, Tx
from services.chassis.store.statement import statement
from services.content.model import Message
from services.runcontrol.core.exchange import Ticket
from services.runcontrol.core.model import RunState
from services.runcontrol.core.ports import Codec, Feed, RunView, TicketFilter
from services.runcontrol.store import tables as t
from services.runcontrol.store.mappers import (
    CALL,
    CALLS_OF_RUN,
    FIND_RUN,
    FIND_TICKET,
    OPEN_TICKETS_OF_RUN,
    RUN,
    TICKET,
    where,
)
from services.runcontrol.store.threads import input_of

_PENDING_INPUTS = statement(
    t.thread_input.select()
    .where(*where(t.thread_input, "tenant", "run_id"), t.PENDING)
    .order_by(t.thread_input.c.seq)
)
_HEAD_OF_RUN = statement(
    select(t.run.c.event_seq, t.run.c.state).where(*where(t.run, "tenant", "run_id"))
)
_EVENTS = statement(
    select(t.event.c.run_seq, t.event.c.body)
    .where(*where(t.event, "tenant", "run_id"), t.event.c.run_seq > bindparam("after"))
    .order_by(t.event.c.run_seq)
    .limit(bindparam("limit"))
)
_MESSAGES = statement(
    select(t.message.c.body)
    .where(*where(t.message, "tenant", "thread_id"))
    .order_by(t.message.c.seq)
)
_TICKETS = statement(
    t.ticket.select()
    .where(
        *where(t.ticket, "tenant", "state"),
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


class SqlViews:
    """``RunControlView`` on one transaction."""

    def __init__(self, tx: Tx, codec: Codec) -> None:
        self._tx = tx
        self._codec = codec

    def view(self, tenant: str, run_id: str) -> RunView | None:
        key = {"tenant": tenant, "run_id": run_id}
        run = RUN.one(self._tx, FIND_RUN, **key)
        if run is None:
            return None
        pending = self._tx.all(_PENDING_INPUTS, **key)
        return RunView(
            run=run,
            calls=CALL.all(self._tx, CALLS_OF_RUN, **key),
            open_tickets=TICKET.all(self._tx, OPEN_TICKETS_OF_RUN, **key),
            pending_inputs=tuple(input_of(row, self._codec) for row in pending),
        )

    def events(self, tenant: str, run_id: str, after: int, limit: int) -> Feed | None:
        head = self._tx.one(_HEAD_OF_RUN, tenant=tenant, run_id=run_id)
        if head is None:
            return None
        rows = self._tx.all(_EVENTS, tenant=tenant, run_id=run_id, after=after, limit=limit)
        events = tuple((int(row.run_seq), bytes(row.body)) for row in rows)
        newest = events[-1][0] if events else after
        done = head.state == RunState.DONE.value and newest >= head.event_seq
        return Feed(events, head.event_seq, done)

    def ticket(self, tenant: str, ticket_id: str) -> Ticket | None:
        return TICKET.one(self._tx, FIND_TICKET, tenant=tenant, ticket_id=ticket_id)

    def conversation(self, tenant: str, thread_id: str) -> list[Message]:
        rows = self._tx.all(_MESSAGES, tenant=tenant, thread_id=thread_id)
        return [m for row in rows for m in self._codec.decode_messages(bytes(row.body))]


async def list_tickets(store: Store, tenant: str, wanted: TicketFilter) -> list[Ticket]:
    """A page of tickets, off the hot path: each state is a range of one index."""
    after_at, after_id = wanted.after
    found: list[Ticket] = []
    for state in wanted.states:
        rows = await store.fetch(
            _TICKETS,
            tenant=tenant,
            state=state.value,
            run_id=wanted.run_id,
            thread_id=wanted.thread_id,
            after_at=after_at,
            after_id=after_id,
            limit=wanted.limit,
        )
        found += [TICKET.load(row) for row in rows]
    return sorted(found, key=lambda ticket: (ticket.created_at, ticket.ticket_id))[: wanted.limit]
