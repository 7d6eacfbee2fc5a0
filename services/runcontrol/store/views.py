"""The reads of run control: runs, events, tickets and conversations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from services.chassis.store.port import Row, Store, Tx
from services.chassis.store.statement import Statement
from services.runcontrol.core.exchange import Call, Ticket
from services.runcontrol.core.limits import PAGE_BYTES
from services.runcontrol.core.listing import MessageQuery, Place, ThreadView
from services.runcontrol.core.model import Dispatch, Input, Run, RunState, StoredMessage, Thread
from services.runcontrol.core.ports import Codec, Feed, InputPage, RunView, TicketFilter
from services.runcontrol.core.subscribing import fitting
from services.runcontrol.store import list_statements as lists
from services.runcontrol.store import statements as sql
from services.runcontrol.store import worker_statements
from services.runcontrol.store.rows import entity_of, every, one, unread_input


class SqlViews:
    """Implements ``core.ports.Reads`` on one transaction."""

    def __init__(self, tx: Tx, codec: Codec) -> None:
        self._tx = tx
        self._codec = codec

    def view(self, tenant: str, run_id: str) -> RunView | None:
        key = {"tenant": tenant, "run_id": run_id}
        run = one(self._tx, Run, sql.FIND_RUN, **key)
        if run is None:
            return None
        pending = self._tx.all(sql.UNREAD_INPUTS, **key)
        return RunView(
            run=run,
            calls=every(self._tx, Call, sql.CALLS_OF_RUN, **key),
            open_tickets=every(self._tx, Ticket, sql.OPEN_TICKETS_OF_RUN, **key),
            pending_inputs=tuple(self._readable(pending)),
        )

    def events(self, tenant: str, run_id: str, after: int, limit: int) -> Feed | None:
        head = self._tx.one(sql.HEAD_OF_RUN, tenant=tenant, run_id=run_id)
        if head is None:
            return None
        key = {"tenant": tenant, "run_id": run_id, "after": after}
        sizes = self._tx.all(sql.EVENT_SIZES, **key, limit=limit)
        events = self._events(sql.EVENTS, sizes, key)
        newest = events[-1][0] if events else after
        done = head.state is RunState.DONE and newest >= head.event_seq
        return Feed(events, head.event_seq, done)

    def thread_events(self, tenant: str, thread_id: str, after: int, limit: int) -> Feed | None:
        head = self._tx.one(sql.HEAD_OF_THREAD, tenant=tenant, thread_id=thread_id)
        if head is None:
            return None
        key = {"tenant": tenant, "thread_id": thread_id, "after": after}
        sizes = self._tx.all(sql.THREAD_EVENT_SIZES, **key, limit=limit)
        return Feed(self._events(sql.THREAD_EVENTS, sizes, key), head.event_seq, finished=False)

    def _events(
        self, statement: Statement, sizes: Sequence[Row], key: Mapping[str, object]
    ) -> tuple[tuple[int, bytes], ...]:
        """As many of the events with these sizes as fit into a frame."""
        count = fitting([row.size_bytes for row in sizes])
        rows = self._tx.all(statement, **key, until=sizes[count - 1].seq) if count else []
        return tuple((int(row.seq), bytes(row.body)) for row in rows)

    def ticket(self, tenant: str, ticket_id: str) -> Ticket | None:
        return one(self._tx, Ticket, sql.FIND_TICKET, tenant=tenant, ticket_id=ticket_id)

    def call(self, tenant: str, call_id: str) -> Call | None:
        return one(self._tx, Call, worker_statements.FIND_CALL, tenant=tenant, call_id=call_id)

    def pending_inputs(
        self, tenant: str, thread_id: str, after: int, limit: int
    ) -> InputPage | None:
        key = {"tenant": tenant, "thread_id": thread_id}
        if self._tx.one(sql.THREAD_EXISTS, **key) is None:
            return None
        rows = self._tx.all(sql.INPUTS_OF_THREAD, after=after, limit=limit + 1, **key)
        left, taken = PAGE_BYTES, list[Row]()
        for row in rows[:limit]:
            left -= row.size_bytes
            if taken and left < 0:
                break
            taken.append(row)
        return InputPage(tuple(self._readable(taken)), more=len(taken) < len(rows))

    def _readable(self, rows: Iterable[Row]) -> Iterator[Input]:
        """Inputs with their messages, of at most 1 MiB together; the others without.

        Decoded here, and not on the event loop.
        """
        left = PAGE_BYTES
        for row in rows:
            said = unread_input(self._tx, row, self._codec)
            fits = row.size_bytes <= left
            left -= row.size_bytes if fits else 0
            yield replace(said, messages=tuple(said.messages) if fits else ())

    def runs(self, tenant: str, thread_id: str, before: Place, limit: int) -> list[Run]:
        page = {"tenant": tenant, "limit": limit, "before_at": before[0], "before_id": before[1]}
        if thread_id:
            return list(every(self._tx, Run, lists.RUNS_OF_THREAD, thread_id=thread_id, **page))
        return list(every(self._tx, Run, lists.RUNS, **page))

    def thread_view(self, tenant: str, thread_id: str) -> ThreadView | None:
        found = one(self._tx, Thread, lists.THREAD, tenant=tenant, thread_id=thread_id)
        return None if found is None else self._with_queue(found)

    def threads(self, tenant: str, before: Place, limit: int) -> list[ThreadView]:
        page = {"tenant": tenant, "limit": limit, "before_at": before[0], "before_id": before[1]}
        return [self._with_queue(each) for each in every(self._tx, Thread, lists.THREADS, **page)]

    def _with_queue(self, thread: Thread) -> ThreadView:
        key = {"tenant": thread.tenant, "thread_id": thread.thread_id}
        (row,) = self._tx.all(lists.QUEUED, **key)
        return ThreadView(thread, int(row.dispatches))

    def dead(self, tenant: str, thread_id: str, after: Place, limit: int) -> list[Dispatch]:
        page = {"limit": limit, "after_at": after[0], "after_id": after[1], "of_thread": thread_id}
        return list(every(self._tx, Dispatch, lists.DEAD, tenant=tenant, **page))

    def messages(self, tenant: str, query: MessageQuery) -> list[StoredMessage]:
        rows = self._tx.all(
            lists.MESSAGES,
            tenant=tenant,
            thread_id=query.thread_id,
            after=query.after,
            of_run=query.run_id,
            limit=query.limit + 1,
        )
        return [self._stored(row) for row in rows]

    def conversation(self, tenant: str, thread_id: str, after: int) -> list[StoredMessage]:
        rows = self._tx.all(sql.MESSAGES, tenant=tenant, thread_id=thread_id, after=after)
        return [self._stored(row) for row in rows]

    def _stored(self, row: Row) -> StoredMessage:
        (message,) = self._codec.decode_messages(bytes(row.body))
        return StoredMessage(row.seq, row.run_id, row.origin, message, row.created_at)


async def list_tickets(store: Store, tenant: str, wanted: TicketFilter) -> list[Ticket]:
    """A page of tickets, oldest first; each of the states is a range of one index."""
    after_at, after_id = wanted.after
    found: list[Ticket] = []
    for state in wanted.states:
        rows = await store.fetch(
            sql.TICKETS,
            tenant=tenant,
            state=state,
            run_id=wanted.run_id,
            thread_id=wanted.thread_id,
            after_at=after_at,
            after_id=after_id,
            limit=wanted.limit,
        )
        found += [entity_of(Ticket, row) for row in rows]
    return sorted(found, key=lambda ticket: (ticket.created_at, ticket.ticket_id))[: wanted.limit]
