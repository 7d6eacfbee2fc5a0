"""Threads, runs and their queue in a transaction: a run is loaded whole, and its changes saved."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from services.chassis.outbox.rows import put
from services.chassis.store.port import Tx
from services.runcontrol.core.commands import (
    AckCommand,
    CancelWakeCommand,
    Command,
    Effect,
    SuspendCommand,
    encode_command,
)
from services.runcontrol.core.events import COVERING, Event
from services.runcontrol.core.exchange import Call, CallState, Delivery, Membership, Ticket, Wake
from services.runcontrol.core.model import (
    Dispatch,
    Input,
    Lease,
    Run,
    StoredMessage,
    Thread,
    run_channel,
    thread_channel,
)
from services.runcontrol.core.ports import CALLS, CALLS_ENDED, CANCELS, READY, Codec
from services.runcontrol.core.specs import Specs
from services.runcontrol.core.ticket_feed import changed
from services.runcontrol.core.work import Work
from services.runcontrol.store import list_statements as lists
from services.runcontrol.store import moments
from services.runcontrol.store import statements as sql
from services.runcontrol.store import tables as t
from services.runcontrol.store import upkeep_statements as upkeep
from services.runcontrol.store.rows import (
    every,
    input_of,
    input_params,
    lane_of,
    one,
    params_of,
    unread_input,
)
from services.runcontrol.store.tickets import note_changes

# What a worker may be executing, and how that ends without its result.
_HELD = frozenset({CallState.DISPATCHED, CallState.ACCEPTED})
_GIVEN_UP = frozenset({CallState.READY, CallState.UNKNOWN, CallState.CANCELLED, CallState.FAILED})

_SPECS = msgspec.json.Decoder(Specs)


class SqlThreads:
    """Implements ``ThreadTx`` on one transaction.

    Attributes:
        changes: The states of runs before and after each save.
        locked: The thread that was locked last; "" before.
    """

    def __init__(self, tx: Tx, codec: Codec) -> None:
        self.changes: list[tuple[Work, Work]] = []
        self.locked = ""
        self._tx = tx
        self._codec = codec

    def thread(self, tenant: str, thread_id: str) -> Thread | None:
        self.locked = thread_id
        found = one(self._tx, Thread, sql.FIND_THREAD, tenant=tenant, thread_id=thread_id)
        if found is not None:
            return found
        # There is no row to lock, so the name is: of two transactions that create the thread, the
        # second finds the row of the first.
        self._tx.lock(f"thread/{lane_of(tenant, thread_id)}")
        return one(self._tx, Thread, sql.FIND_THREAD, tenant=tenant, thread_id=thread_id)

    def try_lock(self, tenant: str, thread_id: str) -> bool:
        found = self._tx.one(sql.TRY_THREAD, tenant=tenant, thread_id=thread_id)
        return found is not None

    def load(self, tenant: str, run_id: str, now: datetime, deleted: bool = False) -> Work | None:
        found = self._tx.one(sql.THREAD_OF_RUN, tenant=tenant, run_id=run_id)
        thread = self.thread(tenant, found.thread_id) if found else None
        run = one(self._tx, Run, sql.FIND_RUN, tenant=tenant, run_id=run_id)
        if thread is None or run is None or (thread.deleted_at is not None and not deleted):
            return None
        tx, key = self._tx, {"tenant": tenant, "run_id": run_id}
        return Work(
            now=now,
            thread=thread,
            run=run,
            dispatches=self._dispatch(run),
            lease=one(tx, Lease, sql.FIND_LEASE, thread_id=run.thread_id, **key),
            calls=every(tx, Call, sql.CALLS_OF_STEP, step=run.step, **key),
            tickets=every(tx, Ticket, sql.LIVE_TICKETS, **key),
            inputs=tuple(
                unread_input(tx, row, self._codec) for row in tx.all(sql.UNREAD_INPUTS, **key)
            ),
            wakes=every(tx, Wake, sql.WAKES, **key),
            deliveries=every(tx, Delivery, sql.DELIVERIES, **key),
            memberships=every(tx, Membership, sql.MEMBERSHIPS, **key),
        )

    def _dispatch(self, run: Run) -> tuple[Dispatch, ...]:
        if not run.dispatch_id:
            return ()
        return every(
            self._tx, Dispatch, sql.DISPATCHES, tenant=run.tenant, dispatch_id=run.dispatch_id
        )

    def save(self, before: Work | None, after: Work) -> None:
        old = before or Work(after.now, after.thread, after.run)
        if before is None or old.thread != after.thread:
            self._tx.run(sql.PUT[Thread], **params_of(after.thread))
        if before is None or old.run != after.run:
            self._tx.run(sql.PUT[Run], **params_of(after.run))
        for was, now in (
            (old.dispatches, after.dispatches),
            (old.calls, (*after.past_calls, *after.calls)),
            (old.tickets, after.tickets),
            (old.wakes, after.wakes),
            (old.deliveries, after.deliveries),
            (old.memberships, after.memberships),
            (old.checkpoints, after.checkpoints),
        ):
            self._save_changed(was, now)
        self._save_inputs(old, after)
        self._save_lease(old, after)
        self._tell_workers(old, after)
        self._append(after)
        # Last: the head of the tenant's tickets is locked from here to the commit.
        if after.tickets != old.tickets:
            note_changes(self._tx, after.run.tenant, changed(old.tickets, after.tickets))
        self.changes.append((old, after))
        # Every delta of a stream is saved too.
        if any(moment.armed is not None for moment in moments.ALL):
            moments.reach(old, after)

    def _save_changed(self, was: Iterable[Any], now: Iterable[Any]) -> None:
        known = set(was)
        for entity in now:
            if entity not in known:
                self._tx.run(sql.PUT[type(entity)], **params_of(entity))

    def _save_inputs(self, old: Work, after: Work) -> None:
        for each in after.inputs:
            if each not in old.inputs:
                self._tx.run(sql.PUT[Input], **input_params(each, self._codec))

    def _save_lease(self, old: Work, after: Work) -> None:
        lease, was = after.lease, old.lease
        if lease is None and was is not None:
            self._tx.run(sql.DROP_LEASE, tenant=was.tenant, thread_id=was.thread_id)
        if lease is not None and lease != was:
            self._tx.run(sql.PUT[Lease], **params_of(lease))
            if lease.cancel_requested:
                self._tx.notify(CANCELS)

    def _tell_workers(self, old: Work, after: Work) -> None:
        """Notify those who give calls to workers, and those whose worker has one in vain."""
        were = {call.call_id: call for call in old.calls}
        for call in (*after.past_calls, *after.calls):
            was = were.get(call.call_id)
            if not call.timeout_ms or call == was:
                continue
            if call.state is CallState.READY:
                self._tx.notify(CALLS)
            elif call.state in _GIVEN_UP and was is not None and was.state in _HELD:
                self._tx.notify(CALLS_ENDED)
            if call.probe_until is not None:
                self._tx.notify(CALLS)

    def _append(self, after: Work) -> None:
        """Insert the messages, events and effects that a decision added."""
        for message in after.messages:
            self._add_message(after.thread, message)
        for event in after.events:
            self._add_event(after.thread, event)
        for effect in after.effects:
            self._add_effect(after, effect)
        if after.events:
            self._tx.notify(run_channel(after.run.tenant, after.run.run_id))
            self._tx.notify(thread_channel(after.run.tenant, after.run.thread_id))

    def _add_message(self, thread: Thread, stored: StoredMessage) -> None:
        self._tx.run(
            sql.ADD_MESSAGE,
            tenant=thread.tenant,
            thread_id=thread.thread_id,
            seq=stored.seq,
            run_id=stored.run_id,
            origin=stored.origin,
            body=self._codec.encode_messages((stored.message,)),
            created_at=stored.created_at,
        )

    def _add_event(self, thread: Thread, event: Event) -> None:
        self._tx.run(
            sql.ADD_EVENT,
            tenant=thread.tenant,
            thread_id=thread.thread_id,
            thread_seq=event.thread_seq,
            run_id=event.run_id,
            run_seq=event.run_seq,
            kind=type(event.kind).__name__,
            at=event.at,
            body=self._codec.encode_event(event),
        )
        if isinstance(event.kind, COVERING) and (covers := event.covers) is not None:
            self._tx.run(
                upkeep.PUT_COVERED,
                tenant=thread.tenant,
                run_id=event.run_id,
                last_run_seq=covers[1],
                first_run_seq=covers[0],
                covered_at=event.at,
            )

    def _add_effect(self, after: Work, effect: Effect) -> None:
        command = effect.command
        put(
            self._tx,
            t.outbox,
            id=_effect_id(command),
            lane=lane_of(command.tenant, after.run.thread_id),
            kind=command.kind,
            payload=encode_command(command),
            traceparent=effect.traceparent,
            now=after.now,
        )

    def head(self, thread: Thread, now: datetime) -> Dispatch | None:
        return one(
            self._tx,
            Dispatch,
            sql.QUEUE_HEAD,
            tenant=thread.tenant,
            thread_id=thread.thread_id,
            epoch=thread.epoch,
            open_run_id=thread.open_run_id,
            now=now,
        )

    def queued(self, thread: Thread) -> list[Dispatch]:
        return list(
            every(
                self._tx,
                Dispatch,
                sql.QUEUE,
                tenant=thread.tenant,
                thread_id=thread.thread_id,
                open_run_id=thread.open_run_id,
            )
        )

    def put_thread(self, thread: Thread) -> None:
        self._tx.run(sql.PUT[Thread], **params_of(thread))
        if thread.deleted_at is not None:
            self._tx.notify(thread_channel(thread.tenant, thread.thread_id))

    def input(self, tenant: str, input_id: str) -> Input | None:
        row = self._tx.one(sql.FIND_INPUT, tenant=tenant, input_id=input_id)
        return None if row is None else input_of(row, self._codec)

    def set_ready(self, thread: Thread, ready_at: datetime | None) -> None:
        self._tx.run(
            sql.SET_READY, tenant=thread.tenant, thread_id=thread.thread_id, to_ready_at=ready_at
        )
        if ready_at is not None:
            self._tx.notify(READY)

    def find_dispatch(self, tenant: str, dispatch_id: str) -> Dispatch | None:
        return one(self._tx, Dispatch, sql.DISPATCHES, tenant=tenant, dispatch_id=dispatch_id)

    def inputs_of_run(self, tenant: str, run_id: str) -> list[Input]:
        rows = self._tx.all(lists.INPUTS_OF_RUN, tenant=tenant, run_id=run_id)
        return [input_of(row, self._codec) for row in rows]

    def run_of_dispatch(self, tenant: str, dispatch_id: str) -> str | None:
        row = self._tx.one(sql.RUN_OF_DISPATCH, tenant=tenant, dispatch_id=dispatch_id)
        return None if row is None else str(row.run_id)

    def pin(self, tenant: str, digest: bytes, specs: Specs) -> None:
        self._tx.run(sql.PIN, tenant=tenant, digest=digest, body=msgspec.json.encode(specs))

    def pinned(self, tenant: str, digest: bytes) -> Specs | None:
        row = self._tx.one(sql.PINNED, tenant=tenant, digest=digest)
        try:
            return None if row is None else _SPECS.decode(bytes(row.body))
        except msgspec.MsgspecError:
            return None  # from another version; its run ends, and does not stop the other claims


def _effect_id(command: Command) -> str:
    """The id of an effect, of which a lane has one row."""
    if isinstance(command, AckCommand):
        return f"{command.kind}/{command.pool_id}/{command.message_id}/{command.receipt}"
    if isinstance(command, SuspendCommand | CancelWakeCommand):
        return f"{command.kind}/{command.condition_id}"
    return f"{command.kind}/{command.call_id}"
