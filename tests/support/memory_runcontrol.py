"""Run control's store in memory: the model that the SQL adapter is compared with."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from services.chassis.caller import RequestKey
from services.chassis.errors import IdempotencyConflictError
from services.runcontrol.core import exchange, model
from services.runcontrol.core.events import Covered, Event
from services.runcontrol.core.excerpts import MAX_SHOWN_CHARS
from services.runcontrol.core.limits import MAX_SHOWN_CALLS, PART_CHARS
from services.runcontrol.core.listing import MessageQuery, Place, ThreadView
from services.runcontrol.core.ports import (
    CallView,
    DueRun,
    Feed,
    InputPage,
    LeaseKey,
    RunView,
    TicketChange,
    TicketFeed,
    TicketFilter,
    TicketKey,
)
from services.runcontrol.core.specs import Specs
from services.runcontrol.core.subscribing import fitting
from services.runcontrol.core.ticket_feed import changed
from services.runcontrol.core.work import Work
from tests.support.memory_tables import Tables, is_past, part_of
from tests.support.memory_upkeep import MemoryUpkeep
from tests.support.memory_workers import MemoryWorkers

T = TypeVar("T")

IDLE = (model.RunState.QUEUED, model.RunState.WAITING)


def _kind_name(event: Event) -> bytes:
    return type(event.kind).__name__.encode()


class MemoryTx(MemoryUpkeep, MemoryWorkers):
    """``Tx`` and ``Reads`` on a copy of the tables."""

    def __init__(self, tables: Tables, encode_event: Callable[[Event], bytes] = _kind_name) -> None:
        self.t = tables
        self._encode_event = encode_event

    def recall(self, request: RequestKey) -> bytes | None:
        found = self.t.requests.get((request.tenant, request.method, request.key))
        if found is None:
            return None
        if found[0] != request.digest:
            raise IdempotencyConflictError("used before with other content")
        return found[1]

    def remember(self, request: RequestKey, body: bytes) -> None:
        key = (request.tenant, request.method, request.key)
        self.t.requests[key] = (request.digest, body)

    def thread(self, tenant: str, thread_id: str) -> model.Thread | None:
        return self.t.threads.get((tenant, thread_id))

    def try_lock(self, tenant: str, thread_id: str) -> bool:
        return (tenant, thread_id) in self.t.threads

    def load(self, tenant: str, run_id: str, now: datetime, deleted: bool = False) -> Work | None:
        t = self.t
        run = t.runs.get((tenant, run_id))
        if run is None or (not deleted and self._is_deleted(run)):
            return None
        lease = t.leases.get((tenant, run.thread_id))
        dispatch = t.dispatches.get((tenant, run.dispatch_id))
        calls = [c for c in self._of(t.calls, run) if c.step == run.step]
        tickets = [x for x in self._of(t.tickets, run) if x.state in exchange.LIVE_TICKETS]
        inputs = [i for i in self._of(t.inputs, run) if i.state is model.InputState.PENDING]
        untaken = [w for w in self._of(t.wakes, run) if not w.taken]
        unshown = [d for d in self._of(t.deliveries, run) if not d.shown]
        return Work(
            now=now,
            thread=t.threads[tenant, run.thread_id],
            run=run,
            dispatches=(dispatch,) if dispatch else (),
            lease=lease if lease and lease.run_id == run_id else None,
            calls=tuple(sorted(calls, key=lambda c: c.index)),
            tickets=tuple(sorted(tickets, key=lambda x: (x.created_at, x.ticket_id))),
            inputs=tuple(sorted(inputs, key=lambda i: i.seq)),
            wakes=tuple(sorted(untaken, key=lambda w: (w.received_at, w.pool_id, w.condition_id))),
            deliveries=tuple(sorted(unshown, key=lambda d: (d.position, d.pool_id, d.message_id))),
            memberships=tuple(sorted(self._of(t.memberships, run), key=lambda m: m.pool_id)),
        )

    def _of(self, table: dict[Any, Any], run: model.Run) -> list[Any]:
        return [e for e in table.values() if (e.tenant, e.run_id) == (run.tenant, run.run_id)]

    def save(self, before: Work | None, after: Work) -> None:
        t, tenant, run = self.t, after.run.tenant, after.run
        t.threads[tenant, run.thread_id] = after.thread
        t.runs[tenant, run.run_id] = run
        t.dispatches |= {(tenant, d.dispatch_id): d for d in after.dispatches}
        t.calls |= {(tenant, c.call_id): c for c in (*after.past_calls, *after.calls)}
        for ticket in changed(before.tickets if before else (), after.tickets):
            t.ticket_heads[tenant] = t.ticket_heads.get(tenant, 0) + 1
            t.ticket_changes[tenant, ticket.ticket_id] = t.ticket_heads[tenant]
        t.tickets |= {(tenant, x.ticket_id): x for x in after.tickets}
        t.inputs |= {(tenant, i.input_id): i for i in after.inputs}
        t.wakes |= {(tenant, w.pool_id, w.condition_id): w for w in after.wakes}
        t.deliveries |= {(tenant, d.run_id, d.pool_id, d.message_id): d for d in after.deliveries}
        t.memberships |= {(tenant, m.run_id, m.pool_id): m for m in after.memberships}
        t.checkpoints |= {(tenant, c.run_id, c.step): c for c in after.checkpoints}
        self._save_lease(before, after)
        for event in after.events:
            self._add(t.events, (tenant, run.thread_id, event.thread_seq), event)
            if (covers := event.covers) is not None:
                of = Covered(tenant, event.run_id, covers[1], covers[0], event.at)
                t.covered[tenant, event.run_id, covers[1]] = of
        for message in after.messages:
            self._add(t.messages, (tenant, run.thread_id, message.seq), message)
        t.outbox.extend(after.effects)

    def runs(self, tenant: str, thread_id: str, before: Place, limit: int) -> list[model.Run]:
        found = [
            run
            for run in self.t.runs.values()
            if run.tenant == tenant
            and not self._is_deleted(run)
            and thread_id in ("", run.thread_id)
            and (run.created_at, run.run_id) < before
        ]
        found.sort(key=lambda run: (run.created_at, run.run_id), reverse=True)
        return found[:limit]

    def threads(self, tenant: str, before: Place, limit: int) -> list[ThreadView]:
        found = [
            thread
            for thread in self.t.threads.values()
            if thread.tenant == tenant
            and (thread.updated_at, thread.thread_id) < before
            and thread.deleted_at is None
        ]
        found.sort(key=lambda thread: (thread.updated_at, thread.thread_id), reverse=True)
        return [self._with_queue(thread) for thread in found[:limit]]

    def dead(self, tenant: str, thread_id: str, after: Place, limit: int) -> list[model.Dispatch]:
        found = [
            d
            for d in self.t.dispatches.values()
            if d.tenant == tenant
            and d.state is model.DispatchState.DEAD
            and not d.redriven_run_id
            and not self._is_deleted(d)
            and thread_id in ("", d.thread_id)
            and (d.created_at, d.dispatch_id) > after
        ]
        return sorted(found, key=lambda d: (d.created_at, d.dispatch_id))[:limit]

    def find_dispatch(self, tenant: str, dispatch_id: str) -> model.Dispatch | None:
        return self.t.dispatches.get((tenant, dispatch_id))

    def inputs_of_run(self, tenant: str, run_id: str) -> list[model.Input]:
        found = [i for i in self.t.inputs.values() if (i.tenant, i.run_id) == (tenant, run_id)]
        return sorted(found, key=lambda i: i.seq)

    def thread_view(self, tenant: str, thread_id: str) -> ThreadView | None:
        found = self.t.threads.get((tenant, thread_id))
        return None if found is None else self._with_queue(found)

    def _with_queue(self, thread: model.Thread) -> ThreadView:
        queued = [
            d
            for d in self.t.dispatches.values()
            if (d.tenant, d.thread_id) == (thread.tenant, thread.thread_id)
            and d.state is model.DispatchState.QUEUED
        ]
        return ThreadView(thread, len(queued))

    def messages(self, tenant: str, query: MessageQuery) -> list[model.StoredMessage]:
        found = [
            message
            for (of, thread_id, seq), message in sorted(self.t.messages.items())
            if (of, thread_id) == (tenant, query.thread_id)
            and seq > query.after
            and query.run_id in ("", message.run_id)
        ]
        return found[: query.limit + 1]

    def _save_lease(self, before: Work | None, after: Work) -> None:
        key = (after.run.tenant, after.run.thread_id)
        if after.lease is not None:
            self.t.leases[key] = after.lease
        elif before is not None and before.lease is not None:
            del self.t.leases[key]

    def _add(self, table: dict[Any, T], key: Any, value: T) -> None:
        if key in table:
            raise AssertionError(f"{key} is there already")
        table[key] = value

    def head(self, thread: model.Thread, now: datetime) -> model.Dispatch | None:
        queued = [
            d
            for d in self.t.dispatches.values()
            if (d.tenant, d.thread_id, d.epoch) == (thread.tenant, thread.thread_id, thread.epoch)
            and d.state is model.DispatchState.QUEUED
        ]
        order = lambda d: (  # noqa: E731
            d.run_id != thread.open_run_id,
            max(d.available_at, now),
            d.priority,
            d.seq,
        )
        return min(queued, key=order, default=None)

    def queued(self, thread: model.Thread) -> list[model.Dispatch]:
        queued = [
            d
            for d in self.t.dispatches.values()
            if (d.tenant, d.thread_id) == (thread.tenant, thread.thread_id)
            and d.state is model.DispatchState.QUEUED
        ]
        return sorted(queued, key=lambda d: (d.run_id != thread.open_run_id, d.priority, d.seq))

    def put_thread(self, thread: model.Thread) -> None:
        self.t.threads[thread.tenant, thread.thread_id] = thread

    def input(self, tenant: str, input_id: str) -> model.Input | None:
        return self.t.inputs.get((tenant, input_id))

    def set_ready(self, thread: model.Thread, ready_at: datetime | None) -> None:
        key = (thread.tenant, thread.thread_id)
        self.t.threads[key] = replace(self.t.threads[key], ready_at=ready_at)

    def run_of_dispatch(self, tenant: str, dispatch_id: str) -> str | None:
        found = self.t.dispatches.get((tenant, dispatch_id))
        return found.run_id if found else None

    def pin(self, tenant: str, digest: bytes, specs: Specs) -> None:
        self.t.specs[tenant, digest] = specs

    def pinned(self, tenant: str, digest: bytes) -> Specs | None:
        return self.t.specs.get((tenant, digest))

    def ticket(self, tenant: str, ticket_id: str) -> exchange.Ticket | None:
        found = self.t.tickets.get((tenant, ticket_id))
        return None if found is None or self._is_deleted(found) else found

    def ticket_head(self, tenant: str) -> int:
        return self.t.ticket_heads.get(tenant, 0)

    def ticket_changes(self, tenant: str, after: int, limit: int) -> TicketFeed:
        found = [
            TicketChange(seq, self.t.tickets[key])
            for key, seq in sorted(self.t.ticket_changes.items(), key=lambda item: item[1])
            if key[0] == tenant and seq > after and not self._is_deleted(self.t.tickets[key])
        ]
        return TicketFeed(tuple(found[:limit]), self.ticket_head(tenant))

    def live_tickets(self, tenant: str, run_id: str, call: str) -> list[exchange.Ticket]:
        return [
            x
            for x in self.t.tickets.values()
            if (x.tenant, x.run_id) == (tenant, run_id)
            and x.state in exchange.LIVE_TICKETS
            and call in (x.call_id, x.model_call_id)
        ]

    def expired_tickets(self, now: datetime, limit: int) -> list[TicketKey]:
        found = [
            x
            for x in self.t.tickets.values()
            if is_past(x.expires_at, now, x.state is exchange.TicketState.OPEN)
        ]
        found.sort(key=lambda x: (x.expires_at or now, x.tenant, x.ticket_id))
        return [(x.tenant, x.thread_id, x.run_id, x.ticket_id) for x in found[:limit]]

    def decision(self, tenant: str, ticket_id: str, decision_id: str) -> exchange.Decision | None:
        return self.t.decisions.get((tenant, ticket_id, decision_id))

    def add_decision(self, tenant: str, ticket_id: str, decision: exchange.Decision) -> None:
        key = (tenant, ticket_id, decision.decision_id)
        earlier = self.t.decisions.get(key)
        if earlier is not None and earlier.won:
            raise AssertionError(f"{key} has won already")
        self.t.decisions[key] = decision

    def waiting_call(self, tenant: str, run_id: str, condition_id: str) -> exchange.Call | None:
        key = (tenant, run_id, condition_id)
        found = (c for c in self.t.calls.values() if (c.tenant, c.run_id, c.condition_id) == key)
        return next(found, None)

    def find_wake(self, tenant: str, pool_id: str, condition_id: str) -> exchange.Wake | None:
        return self.t.wakes.get((tenant, pool_id, condition_id))

    def shown(self, tenant: str, run_id: str, pool_id: str, ids: Iterable[str]) -> frozenset[str]:
        found = ((i, self.t.deliveries.get((tenant, run_id, pool_id, i))) for i in ids)
        return frozenset(i for i, delivery in found if delivery and delivery.shown)

    def ready_tenants(self, now: datetime) -> list[str]:
        return sorted({x.tenant for x in self._ready(now)})

    def ready_threads(self, tenant: str, now: datetime, limit: int) -> list[str]:
        ready = [x for x in self._ready(now) if x.tenant == tenant]
        ready.sort(key=lambda x: (x.ready_at or now, x.thread_id))
        return [x.thread_id for x in ready[:limit]]

    def _ready(self, now: datetime) -> list[model.Thread]:
        return [x for x in self.t.threads.values() if x.ready_at and x.ready_at <= now]

    def executing(self) -> dict[str, int]:
        return dict(Counter(tenant for tenant, _ in self.t.leases))

    def renew(
        self, instance_id: str, held: frozenset[LeaseKey], until: datetime
    ) -> list[model.Lease]:
        renewed = []
        for tenant, thread_id, fence in sorted(held):
            lease = self.t.leases.get((tenant, thread_id))
            if lease and (lease.instance_id, lease.fence) == (instance_id, fence):
                renewed.append(replace(lease, until=until))
                self.t.leases[tenant, thread_id] = renewed[-1]
        return renewed

    def lapsed(self, now: datetime, limit: int) -> list[model.Lease]:
        found = [x for x in self.t.leases.values() if x.until < now]
        return sorted(found, key=lambda x: (x.until, x.tenant, x.thread_id))[:limit]

    def leases(self) -> list[model.Lease]:
        return sorted(self.t.leases.values(), key=lambda x: (x.tenant, x.thread_id))

    def due_runs(self, now: datetime, limit: int) -> list[DueRun]:
        due = [
            r
            for r in self.t.runs.values()
            if r.state in IDLE
            and r.paused_at is None
            and r.deadline_at <= now
            and not self._is_deleted(r)
        ]
        due.sort(key=lambda r: (r.deadline_at, r.tenant, r.run_id))
        return [(r.tenant, r.thread_id, r.run_id) for r in due[:limit]]

    def view(self, tenant: str, run_id: str) -> RunView | None:
        run = self.t.runs.get((tenant, run_id))
        if run is None or self._is_deleted(run):
            return None
        calls = sorted(self._of(self.t.calls, run), key=lambda c: (c.step, c.index))
        opened = [x for x in self._of(self.t.tickets, run) if x.state is exchange.TicketState.OPEN]
        opened.sort(key=lambda x: (x.created_at, x.ticket_id))
        pending = [i for i in self._of(self.t.inputs, run) if i.state is model.InputState.PENDING]
        shown = tuple(part_of(call, 0, 0, MAX_SHOWN_CHARS) for call in calls[-MAX_SHOWN_CALLS:])
        lease = self.t.leases.get((tenant, run.thread_id))
        mine = lease if lease and lease.run_id == run_id else None
        return RunView(run, shown, tuple(opened), tuple(pending), mine)

    def call_view(
        self, tenant: str, run_id: str, call_id: str, arguments_from: int, result_from: int
    ) -> CallView | None:
        call = self.t.calls.get((tenant, call_id))
        if call is None or call.run_id != run_id:
            return None
        return part_of(call, arguments_from, result_from, PART_CHARS)

    def events(self, tenant: str, run_id: str, after: int, limit: int) -> Feed | None:
        run = self.t.runs.get((tenant, run_id))
        if run is None or self._is_deleted(run):
            return None
        found = [e for key, e in self.t.events.items() if (key[0], e.run_id) == (tenant, run_id)]
        page = [e for e in sorted(found, key=lambda e: e.run_seq) if e.run_seq > after][:limit]
        page = page[: fitting([len(self._encode_event(e)) for e in page])]
        newest = page[-1].run_seq if page else after
        done = run.state is model.RunState.DONE and newest >= run.event_seq
        encoded = tuple((e.run_seq, self._encode_event(e)) for e in page)
        return Feed(encoded, run.event_seq, done)

    def thread_events(self, tenant: str, thread_id: str, after: int, limit: int) -> Feed | None:
        thread = self.t.threads.get((tenant, thread_id))
        if thread is None or thread.deleted_at is not None:
            return None
        found = [e for key, e in self.t.events.items() if key[:2] == (tenant, thread_id)]
        page = [e for e in sorted(found, key=lambda e: e.thread_seq) if e.thread_seq > after]
        encoded = [(e.thread_seq, self._encode_event(e)) for e in page[:limit]]
        count = fitting([len(body) for _, body in encoded])
        return Feed(tuple(encoded[:count]), thread.event_seq, finished=False)

    def pending_inputs(self, tenant: str, thread_id: str, after: int, limit: int) -> InputPage:
        found = [
            i
            for i in self.t.inputs.values()
            if (i.tenant, i.thread_id) == (tenant, thread_id)
            and i.state is model.InputState.PENDING
            and i.seq > after
        ]
        found.sort(key=lambda i: i.seq)
        return InputPage(tuple(found[:limit]), more=len(found) > limit)

    def conversation(self, tenant: str, thread_id: str, after: int) -> list[model.StoredMessage]:
        found = [m for key, m in self.t.messages.items() if key[:2] == (tenant, thread_id)]
        return [m for m in sorted(found, key=lambda m: m.seq) if m.seq > after]


class MemoryStore:
    """``Store``: a transaction is a copy that replaces the tables when it succeeds."""

    def __init__(self, encode_event: Callable[[Event], bytes] = _kind_name) -> None:
        self.tables = Tables()
        self._encode_event = encode_event

    async def write(self, fn: Callable[[MemoryTx], T]) -> T:
        scratch = Tables(**{name: copy.copy(v) for name, v in vars(self.tables).items()})
        result = fn(MemoryTx(scratch))
        self.tables = scratch
        return result

    async def write_first(self, fn: Callable[[MemoryTx], T]) -> T:
        return await self.write(fn)

    async def read(self, fn: Callable[[MemoryTx], T]) -> T:
        return fn(MemoryTx(self.tables, self._encode_event))

    async def list_tickets(self, tenant: str, wanted: TicketFilter) -> list[exchange.Ticket]:
        found = [
            x
            for x in self.tables.tickets.values()
            if x.tenant == tenant
            and self.tables.threads[tenant, x.thread_id].deleted_at is None
            and x.state in wanted.states
            and wanted.run_id in ("", x.run_id)
            and wanted.thread_id in ("", x.thread_id)
            and (x.created_at, x.ticket_id) > wanted.after
        ]
        return sorted(found, key=lambda x: (x.created_at, x.ticket_id))[: wanted.limit]

    async def scrub(self) -> bool:
        return True
