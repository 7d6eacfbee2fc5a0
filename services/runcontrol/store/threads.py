"""Threads, runs and their queue in a transaction: loaded as one aggregate, saved by difference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import msgspec
from sqlalchemy import bindparam, case, select, update

from services.chassis.outbox import put
from services.chassis.store.port import Row, Tx
from services.chassis.store.statement import statement, upsert
from services.runcontrol.core.commands import (
    AckCommand,
    Effect,
    PoolCommand,
    SuspendCommand,
    encode_command,
)
from services.runcontrol.core.events import Event
from services.runcontrol.core.model import Dispatch, Input, Run, StoredMessage, Thread
from services.runcontrol.core.ports import CANCELS, READY, Codec, run_channel
from services.runcontrol.core.specs import Specs
from services.runcontrol.core.work import Work
from services.runcontrol.store import tables as t
from services.runcontrol.store.mappers import (
    CALL,
    CHECKPOINT,
    DELIVERY,
    DISPATCH,
    FIND_RUN,
    LEASE,
    MEMBERSHIP,
    RUN,
    THREAD,
    TICKET,
    WAKE,
    where,
)
from services.runcontrol.store.mapping import Mapper, same, to_json

_THREAD_BY_ID = statement(
    t.thread.select().where(*where(t.thread, "tenant", "thread_id")).with_for_update()
)
_THREAD_OF_RUN = statement(select(t.run.c.thread_id).where(*where(t.run, "tenant", "run_id")))
_DISPATCHES = DISPATCH.find(*where(t.dispatch, "tenant", "dispatch_id"))
_LEASE = LEASE.find(*where(t.lease, "tenant", "thread_id"), t.lease.c.run_id == bindparam("run_id"))
_CALLS = CALL.find(*where(t.tool_call, "tenant", "run_id", "step"), order_by=(t.tool_call.c.index,))
_LIVE_TICKETS = TICKET.find(
    *where(t.ticket, "tenant", "run_id"),
    t.LIVE,
    order_by=(t.ticket.c.created_at, t.ticket.c.ticket_id),
)
_INPUTS = statement(
    t.thread_input.select()
    .where(*where(t.thread_input, "tenant", "run_id"), t.PENDING)
    .order_by(t.thread_input.c.seq)
)
_WAKES = WAKE.find(
    *where(t.wake, "tenant", "run_id"),
    t.UNTAKEN,
    order_by=(t.wake.c.received_at, t.wake.c.pool_id, t.wake.c.condition_id),
)
_DELIVERIES = DELIVERY.find(
    *where(t.delivery, "tenant", "run_id"),
    t.UNSHOWN,
    order_by=(t.delivery.c.position, t.delivery.c.pool_id, t.delivery.c.message_id),
)
_MEMBERSHIPS = MEMBERSHIP.find(
    *where(t.membership, "tenant", "run_id"), order_by=(t.membership.c.pool_id,)
)
_HEAD = DISPATCH.find(
    *where(t.dispatch, "tenant", "thread_id", "epoch"),
    t.QUEUED,
    order_by=(
        case((t.dispatch.c.run_id == bindparam("open_run_id"), 0), else_=1),
        t.dispatch.c.priority,
        t.dispatch.c.seq,
    ),
    limit=1,
)
_SET_READY = statement(
    update(t.thread)
    .where(*where(t.thread, "tenant", "thread_id"))
    .values(ready_at=bindparam("to_ready_at", type_=t.thread.c.ready_at.type))
)
_RUN_OF_DISPATCH = statement(
    select(t.dispatch.c.run_id).where(*where(t.dispatch, "tenant", "dispatch_id"))
)
_ADD_EVENT = statement(t.event.insert())
_ADD_MESSAGE = statement(t.message.insert())
_INPUT = Mapper(Input, t.thread_input, overrides={"messages": (same, same)})
_DROP_LEASE = statement(t.lease.delete().where(*where(t.lease, "tenant", "thread_id")))
_PIN = statement(upsert(t.pinned_spec).on_conflict_do_nothing())
_SPECS = msgspec.json.Decoder(Specs)
_PINNED = statement(select(t.pinned_spec.c.body).where(*where(t.pinned_spec, "tenant", "digest")))


class SqlThreads:
    """``ThreadTx`` on one transaction."""

    def __init__(self, tx: Tx, codec: Codec) -> None:
        self._tx = tx
        self._codec = codec

    def thread(self, tenant: str, thread_id: str) -> Thread | None:
        found = THREAD.one(self._tx, _THREAD_BY_ID, tenant=tenant, thread_id=thread_id)
        if found is not None:
            return found
        # No row to lock, so its name: of two that begin the thread, the second finds it begun.
        self._tx.lock(f"thread/{tenant}/{thread_id}")
        return THREAD.one(self._tx, _THREAD_BY_ID, tenant=tenant, thread_id=thread_id)

    def load(self, tenant: str, run_id: str, now: datetime) -> Work | None:
        found = self._tx.one(_THREAD_OF_RUN, tenant=tenant, run_id=run_id)
        thread = self.thread(tenant, found.thread_id) if found else None
        run = RUN.one(self._tx, FIND_RUN, tenant=tenant, run_id=run_id)
        if thread is None or run is None:
            return None
        tx, key = self._tx, {"tenant": tenant, "run_id": run_id}
        return Work(
            now=now,
            thread=thread,
            run=run,
            dispatches=self._dispatch(run),
            lease=LEASE.one(tx, _LEASE, thread_id=run.thread_id, **key),
            calls=CALL.all(tx, _CALLS, step=run.step, **key),
            tickets=TICKET.all(tx, _LIVE_TICKETS, **key),
            inputs=tuple(self._input(row) for row in tx.all(_INPUTS, **key)),
            wakes=WAKE.all(tx, _WAKES, **key),
            deliveries=DELIVERY.all(tx, _DELIVERIES, **key),
            memberships=MEMBERSHIP.all(tx, _MEMBERSHIPS, **key),
        )

    def _dispatch(self, run: Run) -> tuple[Dispatch, ...]:
        if not run.dispatch_id:
            return ()
        return DISPATCH.all(self._tx, _DISPATCHES, tenant=run.tenant, dispatch_id=run.dispatch_id)

    def _input(self, row: Row) -> Input:
        return input_of(row, self._codec)

    def save(self, before: Work | None, after: Work) -> None:
        old = before or Work(after.now, after.thread, after.run)
        if before is None or old.thread != after.thread:
            THREAD.save(self._tx, after.thread)
        if before is None or old.run != after.run:
            RUN.save(self._tx, after.run)
        for mapper, was, now in (
            (DISPATCH, old.dispatches, after.dispatches),
            (CALL, old.calls, (*after.past_calls, *after.calls)),
            (TICKET, old.tickets, after.tickets),
            (WAKE, old.wakes, after.wakes),
            (DELIVERY, old.deliveries, after.deliveries),
            (MEMBERSHIP, old.memberships, after.memberships),
            (CHECKPOINT, old.checkpoints, after.checkpoints),
        ):
            self._save_changed(mapper, was, now)
        self._save_inputs(old, after)
        self._save_lease(old, after)
        self._append(after)

    def _save_changed(self, mapper: Mapper, was: Iterable, now: Iterable) -> None:  # type: ignore[type-arg]  # pairs of any one entity
        known = set(was)
        for entity in now:
            if entity not in known:
                mapper.save(self._tx, entity)

    def _save_inputs(self, old: Work, after: Work) -> None:
        for said in after.inputs:
            if said not in old.inputs:
                encoded = self._codec.encode_messages(said.messages)
                self._tx.run(_INPUT.put, **(_INPUT.row(said) | {"messages": encoded}))

    def _save_lease(self, old: Work, after: Work) -> None:
        lease, was = after.lease, old.lease
        if lease is None and was is not None:
            self._tx.run(_DROP_LEASE, tenant=was.tenant, thread_id=was.thread_id)
        if lease is not None and lease != was:
            LEASE.save(self._tx, lease)
            if lease.cancel_requested:
                self._tx.ring(CANCELS)

    def _append(self, after: Work) -> None:
        """Add what a decision said, told and asked for."""
        for said in after.messages:
            self._add_message(after.thread, said)
        for event in after.events:
            self._add_event(after.thread, event)
        for effect in after.effects:
            self._add_effect(after, effect)
        if after.events:
            self._tx.ring(run_channel(after.run.tenant, after.run.run_id))

    def _add_message(self, thread: Thread, said: StoredMessage) -> None:
        self._tx.run(
            _ADD_MESSAGE,
            tenant=thread.tenant,
            thread_id=thread.thread_id,
            seq=said.seq,
            run_id=said.run_id,
            origin=said.origin.value,
            body=self._codec.encode_messages((said.message,)),
            created_at=said.created_at,
        )

    def _add_event(self, thread: Thread, event: Event) -> None:
        self._tx.run(
            _ADD_EVENT,
            tenant=thread.tenant,
            thread_id=thread.thread_id,
            thread_seq=event.thread_seq,
            run_id=event.run_id,
            run_seq=event.run_seq,
            kind=type(event.kind).__name__,
            at=event.at,
            body=self._codec.encode_event(event),
        )

    def _add_effect(self, after: Work, effect: Effect) -> None:
        command = effect.command
        put(
            self._tx,
            t.outbox,
            id=_effect_id(command),
            lane=f"{command.tenant}/{after.run.thread_id}",
            kind=command.kind,
            payload=encode_command(command),
            traceparent=effect.traceparent,
            now=after.now,
        )

    def head(self, thread: Thread) -> Dispatch | None:
        return DISPATCH.one(
            self._tx,
            _HEAD,
            tenant=thread.tenant,
            thread_id=thread.thread_id,
            epoch=thread.epoch,
            open_run_id=thread.open_run_id,
        )

    def set_ready(self, thread: Thread, ready_at: datetime | None) -> None:
        self._tx.run(
            _SET_READY, tenant=thread.tenant, thread_id=thread.thread_id, to_ready_at=ready_at
        )
        if ready_at is not None:
            self._tx.ring(READY)

    def run_of_dispatch(self, tenant: str, dispatch_id: str) -> str | None:
        row = self._tx.one(_RUN_OF_DISPATCH, tenant=tenant, dispatch_id=dispatch_id)
        return None if row is None else str(row.run_id)

    def pin(self, tenant: str, digest: bytes, specs: Specs) -> None:
        self._tx.run(_PIN, tenant=tenant, digest=digest, body=to_json(specs).encode())

    def pinned(self, tenant: str, digest: bytes) -> Specs | None:
        row = self._tx.one(_PINNED, tenant=tenant, digest=digest)
        try:
            return None if row is None else _SPECS.decode(bytes(row.body))
        except msgspec.MsgspecError:
            return None  # of a form this version does not know: it must not hold up other runs


def input_of(row: Row, codec: Codec) -> Input:
    """An input with its messages read back."""
    return replace(_INPUT.load(row), messages=codec.decode_messages(bytes(row.messages)))


def _effect_id(command: PoolCommand) -> str:
    """The key of one effect: a lane takes it once."""
    if isinstance(command, AckCommand):
        return f"{command.kind}/{command.pool_id}/{command.message_id}/{command.receipt}"
    if isinstance(command, SuspendCommand):
        return f"{command.kind}/{command.condition_id}"
    return f"{command.kind}/{command.call_id}"
