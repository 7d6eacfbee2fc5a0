"""A run with its thread, as one transaction sees it: what every decision takes and returns.

Immutable: each helper answers a changed copy, and the store saves what differs from what it
loaded. ``events``, ``messages`` and ``effects`` are what a decision adds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.content.model import Message
from services.runcontrol.core.commands import Effect
from services.runcontrol.core.errors import FencedError
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


@dataclass(frozen=True, slots=True)
class Work:
    """The aggregate.

    Attributes:
        now: The transaction's instant.
        dispatches: The run's queued or claimed one, and those a decision adds.
        calls: Calls of the current step, in order.
        past_calls: Calls of steps that ended in this transaction.
        tickets: Open and decided ones of the run.
        inputs: Pending ones meant for the run, in order.
        wakes: Ended waits whose calls have not taken them.
        deliveries: Pool messages fetched for the current step and not shown yet.
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

    @property
    def dispatch(self) -> Dispatch | None:
        """The queued or claimed dispatch of the run."""
        return next((d for d in self.dispatches if d.dispatch_id == self.run.dispatch_id), None)

    def claimed(self) -> Dispatch:
        """The dispatch that is being executed.

        Raises:
            FencedError: The run has none.
        """
        dispatch = self.dispatch
        if dispatch is None:
            raise FencedError(f"run {self.run.run_id} is not executed")
        return dispatch

    def call(self, call_id: str) -> Call:
        """A call of the current step."""
        return next(c for c in self.calls if c.call_id == call_id)

    def find_call(self, call_id: str) -> Call | None:
        return next((c for c in self.calls if c.call_id == call_id), None)

    def ticket_of(self, call_id: str) -> Ticket | None:
        """The ticket that ``call_id`` waits for now."""
        live = (t for t in self.tickets if t.state in LIVE_TICKETS)
        return next((t for t in live if t.call_id == call_id), None)

    def wake_of(self, condition_id: str) -> Wake | None:
        return next((w for w in self.wakes if w.condition_id == condition_id), None)

    def membership(self, pool_id: str) -> Membership | None:
        return next((m for m in self.memberships if m.pool_id == pool_id), None)

    def on_run(self, **changes: Any) -> Work:  # the fields of Run
        return replace(self, run=replace(self.run, **changes))

    def on_thread(self, **changes: Any) -> Work:  # the fields of Thread
        return replace(self, thread=replace(self.thread, **changes))

    def with_dispatch(self, dispatch: Dispatch) -> Work:
        rest = tuple(d for d in self.dispatches if d.dispatch_id != dispatch.dispatch_id)
        return replace(self, dispatches=(*rest, dispatch))

    def with_call(self, call: Call) -> Work:
        calls = tuple(call if c.call_id == call.call_id else c for c in self.calls)
        return replace(self, calls=calls)

    def with_ticket(self, ticket: Ticket) -> Work:
        rest = tuple(t for t in self.tickets if t.ticket_id != ticket.ticket_id)
        return replace(self, tickets=(*rest, ticket))

    def with_wake(self, wake: Wake) -> Work:
        rest = tuple(w for w in self.wakes if w.condition_id != wake.condition_id)
        return replace(self, wakes=(*rest, wake))

    def with_membership(self, membership: Membership) -> Work:
        rest = tuple(m for m in self.memberships if m.pool_id != membership.pool_id)
        return replace(self, memberships=(*rest, membership))

    def emit(self, kind: Kind) -> Work:
        """Append an event at the next place of both orders."""
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
        return replace(numbered, events=(*self.events, event))

    def say(
        self, origin: MessageOrigin, message: Message, covers: tuple[int, int] = (0, 0)
    ) -> Work:
        """Append a message to the thread and tell the streams."""
        seq = self.thread.message_seq + 1
        stored = StoredMessage(seq, self.run.run_id, origin, message, self.now)
        said = replace(self.on_thread(message_seq=seq), messages=(*self.messages, stored))
        return said.emit(MessageCommitted(stored, *covers))

    def effect(self, effect: Effect) -> Work:
        return replace(self, effects=(*self.effects, effect))

    def require_owner(self, fence: int) -> Lease:
        """The lease under which the writer executes the run.

        Raises:
            FencedError: Another owner, or none: ``fence`` is not the lease's.
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
