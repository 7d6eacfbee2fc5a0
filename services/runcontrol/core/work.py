"""A run with its thread as one transaction loads it: the argument and result of every decision.

Immutable: each method returns a changed copy, and the store saves what differs from what it
loaded. A decision adds to ``events``, ``messages`` and ``effects``. To save a run is also to say
when its thread has work to claim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from services.chassis.errors import DomainError
from services.content.model import Message
from services.runcontrol.core.commands import Effect
from services.runcontrol.core.errors import (
    FencedError,
    RunDeletedError,
    RunNotFoundError,
    ThreadClosedError,
    ThreadDeletedError,
    ThreadNotFoundError,
)
from services.runcontrol.core.events import Event, Kind, MessageCommitted
from services.runcontrol.core.exchange import LIVE_TICKETS, Call, Delivery, Membership, Ticket, Wake
from services.runcontrol.core.model import (
    Checkpoint,
    Dispatch,
    Input,
    Lease,
    MessageOrigin,
    Run,
    RunState,
    StoredMessage,
    Thread,
)
from services.runcontrol.core.specs import Specs

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    # Its methods take and return ``Work``: at run time the import would be circular.
    from services.runcontrol.core.ports import Reads, ThreadTx, Tombstones


E = TypeVar("E", bound="DataclassInstance")


@lru_cache
def _fields_of(
    kind: type[DataclassInstance],
) -> tuple[Callable[[Any], tuple[Any, ...]], dict[str, int]]:
    names = [each.name for each in fields(kind)]
    return attrgetter(*names), {name: place for place, name in enumerate(names)}


def _changed(value: E, **changes: Any) -> E:
    """As ``dataclasses.replace`` in a third of its time: a decision makes dozens of copies."""
    read, places = _fields_of(type(value))
    values = list(read(value))
    for name, new in changes.items():
        values[places[name]] = new
    return type(value)(*values)


@dataclass(frozen=True, slots=True)
class Work:
    """A run, its thread, and what belongs to the run.

    Attributes:
        now: The time of the transaction.
        dispatches: The run's queued or claimed dispatch, and those that a decision adds.
        calls: The calls of the current step, in order.
        tickets: The run's open and decided tickets.
        inputs: The run's pending inputs, in order.
        wakes: Wakes that no call has taken yet.
        deliveries: Pool messages that were fetched and are not part of the conversation yet.
        past_calls: The calls of steps that ended in this transaction.
        successors: Runs that are queued because this one ended; each follows the one before it on
            the thread.
    """

    now: datetime
    thread: Thread
    run: Run
    dispatches: tuple[Dispatch, ...] = ()
    lease: Lease | None = None
    calls: tuple[Call, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    inputs: tuple[Input, ...] = ()
    wakes: tuple[Wake, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    memberships: tuple[Membership, ...] = ()
    past_calls: tuple[Call, ...] = ()
    events: tuple[Event, ...] = ()
    messages: tuple[StoredMessage, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    effects: tuple[Effect, ...] = ()
    successors: tuple[Work, ...] = ()

    @property
    def dispatch(self) -> Dispatch | None:
        """The queued or claimed dispatch of the run."""
        return next((d for d in self.dispatches if d.dispatch_id == self.run.dispatch_id), None)

    def claimed(self) -> Dispatch:
        """The queued or claimed dispatch of the run.

        Raises:
            FencedError: The run has none.
        """
        dispatch = self.dispatch
        if dispatch is None:
            raise FencedError(f"run {self.run.run_id} is not executed")
        return dispatch

    def call(self, call_id: str) -> Call:
        """The call of the current step with this id, which must exist."""
        return next(c for c in self.calls if c.call_id == call_id)

    def find_call(self, call_id: str) -> Call | None:
        return next((c for c in self.calls if c.call_id == call_id), None)

    def ticket_of(self, call_id: str) -> Ticket | None:
        """The open or decided ticket of a call."""
        live = (t for t in self.tickets if t.state in LIVE_TICKETS)
        return next((t for t in live if t.call_id == call_id), None)

    def wake_of(self, condition_id: str) -> Wake | None:
        return next((w for w in self.wakes if w.condition_id == condition_id), None)

    def membership(self, pool_id: str) -> Membership | None:
        return next((m for m in self.memberships if m.pool_id == pool_id), None)

    def on_run(self, **changes: Any) -> Work:  # the fields of Run
        return _changed(self, run=_changed(self.run, **changes))

    def on_thread(self, **changes: Any) -> Work:  # the fields of Thread
        return _changed(self, thread=_changed(self.thread, **changes))

    def with_dispatch(self, dispatch: Dispatch) -> Work:
        rest = tuple(d for d in self.dispatches if d.dispatch_id != dispatch.dispatch_id)
        return _changed(self, dispatches=(*rest, dispatch))

    def with_call(self, call: Call) -> Work:
        calls = tuple(call if c.call_id == call.call_id else c for c in self.calls)
        return _changed(self, calls=calls)

    def with_ticket(self, ticket: Ticket) -> Work:
        rest = tuple(t for t in self.tickets if t.ticket_id != ticket.ticket_id)
        return _changed(self, tickets=(*rest, ticket))

    def with_wake(self, wake: Wake) -> Work:
        rest = tuple(w for w in self.wakes if w.condition_id != wake.condition_id)
        return _changed(self, wakes=(*rest, wake))

    def with_membership(self, membership: Membership) -> Work:
        rest = tuple(m for m in self.memberships if m.pool_id != membership.pool_id)
        return _changed(self, memberships=(*rest, membership))

    def emit(self, kind: Kind) -> Work:
        """Append an event with the next sequence of the run and of the thread."""
        run_seq, thread_seq = self.run.event_seq + 1, self.thread.event_seq + 1
        event = Event(
            run_seq,
            thread_seq,
            self.run.run_id,
            self.thread.thread_id,
            self.now,
            self.run.step,
            kind,
        )
        numbered = self.on_run(event_seq=run_seq)
        numbered = numbered.on_thread(event_seq=thread_seq, updated_at=self.now)
        return _changed(numbered, events=(*self.events, event))

    def append(
        self, origin: MessageOrigin, message: Message, covers: tuple[int, int] = (0, 0)
    ) -> Work:
        """Append a message to the thread, with its event.

        Args:
            covers: Run sequences of the first and last delta it repeats; (0, 0) = none.
        """
        seq = self.thread.message_seq + 1
        stored = StoredMessage(seq, self.run.run_id, origin, message, self.now)
        appended = _changed(self.on_thread(message_seq=seq), messages=(*self.messages, stored))
        return appended.emit(MessageCommitted(stored, *covers))

    def effect(self, effect: Effect) -> Work:
        return _changed(self, effects=(*self.effects, effect))

    def require_owner(self, fence: int) -> Lease:
        """The lease under which the run executes.

        Raises:
            FencedError: The run does not execute, or ``fence`` is not that of its lease.
        """
        executing = self.run.state in (RunState.RUNNING, RunState.CANCELLING)
        lease = self.lease
        if (
            lease is None
            or not executing
            or (lease.fence, lease.run_id) != (fence, self.run.run_id)
        ):
            raise FencedError(f"fence {fence} does not own run {self.run.run_id}")
        return lease


def commit(tx: ThreadTx, before: Work | None, after: Work) -> Work:
    """Persist ``after``, publish when its thread has work to claim, and return ``after``."""
    tx.save(before, after)
    thread = after.thread
    for successor in after.successors:
        tx.save(None, successor)
        thread = successor.thread
    if before is None or _queue_changed(before, after):
        ready = ready_at(thread, tx.head(thread, after.now))
        if ready != thread.ready_at:
            tx.set_ready(thread, ready)
    return after


def _queue_changed(before: Work, after: Work) -> bool:
    fields = ("active_run_id", "open_run_id", "epoch")
    changed = any(getattr(before.thread, f) != getattr(after.thread, f) for f in fields)
    return changed or before.dispatches != after.dispatches


def ready_at(thread: Thread, head: Dispatch | None) -> datetime | None:
    """When the thread's first dispatch can be claimed; None when none can.

    Args:
        head: The first queued dispatch: the open run's, then one that may start, by priority and by
            arrival, then the one that may start first.
    """
    if thread.active_run_id or head is None:
        return None
    if thread.open_run_id and head.run_id != thread.open_run_id:
        return None
    return head.available_at


def load(tx: ThreadTx, tenant: str, run_id: str, now: datetime) -> Work:
    """Load a run for a caller.

    Raises:
        RunNotFoundError: There is no such run.
        RunDeletedError: Its thread was deleted.
    """
    work = tx.load(tenant, run_id, now)
    if work is None:
        raise missing_run(tx, tenant, run_id)
    return work


def missing_run(tx: Tombstones, tenant: str, run_id: str) -> DomainError:
    """Why there is no such run."""
    thread = tx.deleted_thread_of(tenant, run_id)
    return RunDeletedError.of(run_id, thread) if thread else RunNotFoundError.of(run_id)


def missing_thread(reads: Reads, tenant: str, thread_id: str) -> DomainError:
    """Why there is no such thread to read."""
    found = reads.thread_view(tenant, thread_id)
    return ThreadDeletedError.of(found.thread) if found else ThreadNotFoundError.of(thread_id)


def open_thread(thread: Thread | None, thread_id: str) -> Thread:
    """A thread that takes work.

    Raises:
        ThreadNotFoundError: There is no such thread.
        ThreadClosedError: It was deleted.
    """
    if thread is None:
        raise ThreadNotFoundError.of(thread_id)
    if thread.deleted_at is not None:
        raise ThreadClosedError.of(thread)
    return thread


def living_thread(thread: Thread | None, thread_id: str) -> Thread:
    """A thread to read.

    Raises:
        ThreadNotFoundError: There is no such thread.
        ThreadDeletedError: It was deleted.
    """
    if thread is None:
        raise ThreadNotFoundError.of(thread_id)
    if thread.deleted_at is not None:
        raise ThreadDeletedError.of(thread)
    return thread


def load_owned(tx: ThreadTx, tenant: str, run_id: str, now: datetime) -> Work:
    """Load a run for its owner.

    Raises:
        FencedError: The run does not exist any more.
    """
    work = tx.load(tenant, run_id, now)
    if work is None:
        raise FencedError(f"run {run_id} is gone")
    return work


def pinned_specs(tx: ThreadTx, work: Work) -> Specs | None:
    """The specifications that the run was submitted with; None when they are lost."""
    return tx.pinned(work.run.tenant, work.run.spec_digest)


def current_run(tx: ThreadTx, tenant: str, thread_id: str) -> str:
    """Id of the run that a thread executes or that waits on it; "" when there is none.

    Raises:
        ThreadNotFoundError: There is no such thread.
        ThreadDeletedError: It was deleted.
    """
    thread = living_thread(tx.thread(tenant, thread_id), thread_id)
    return thread.active_run_id or thread.open_run_id
