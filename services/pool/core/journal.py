"""One commit on one pool: its records in order, and the wakes that they trigger.

``Journal`` holds the locked pool during a transaction. Use cases record events; ``close`` matches
them against the registered wakes, records those that end, and saves the pool. Triggering a wake
only writes rows, so it cannot fail the command that caused it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from services.chassis.caller import Caller, Replay, once
from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.pool.core.addressing import acting_name, authorize
from services.pool.core.errors import (
    MessageNotFoundError,
    NotAMemberError,
    PoolNotFoundError,
    WakeNotFoundError,
)
from services.pool.core.events import Event, TimerKind, Wake, WakeState
from services.pool.core.filters import event_keys
from services.pool.core.model import Member, MessageRecord, Pool, holds
from services.pool.core.ports import Fact, Store, Tx
from services.pool.core.waking import END_KIND, observe

T = TypeVar("T")


class Journal:
    """The locked pool, the time of the commit, and the events recorded so far.

    Attributes:
        now: One instant for the whole commit.
    """

    def __init__(self, tx: Tx, pool: Pool, caller: Caller, now: datetime) -> None:
        self.tx = tx
        self.pool = pool
        self.caller = caller
        self.now = now
        self._recorded: list[Event] = []
        self._loaded = pool

    @property
    def next_sequence(self) -> int:
        return self.pool.head_sequence + 1

    def record(self, event: Event, fact: Fact) -> Event:
        """Append ``event`` as the next record of the log."""
        placed = self._placed(event)
        self.pool = replace(self.pool, head_sequence=placed.sequence)
        self.tx.append(self.pool.pool_id, placed, fact, acting_name(self.caller.principal))
        self._recorded.append(placed)
        return placed

    def _placed(self, event: Event) -> Event:
        return replace(
            event,
            sequence=self.next_sequence,
            event_time=self.now,
            traceparent=self.caller.traceparent,
        )

    def acting(self, run_id: str) -> Member:
        """The member of ``run_id``, as which the caller acts.

        Raises:
            NotAMemberError: The run is not in the pool.
            RunNotOwnedError: The run is bound to another principal.
        """
        member = self.tx.member(self.pool.pool_id, run_id)
        if member is None:
            raise NotAMemberError.of(self.pool.pool_id, run_id)
        authorize(self.caller.principal, member)
        return member

    def message(self, message_id: str) -> MessageRecord:
        """Raises:
        MessageNotFoundError: No such message.
        """
        record = self.tx.message(self.pool.pool_id, message_id)
        if record is None:
            raise MessageNotFoundError.of(self.pool.pool_id, message_id)
        return record

    def wake(self, condition_id: str) -> Wake:
        """Raises:
        WakeNotFoundError: No such wake.
        """
        wake = self.tx.wake(self.pool.pool_id, condition_id)
        if wake is None:
            raise WakeNotFoundError.of(self.pool.pool_id, condition_id)
        return wake

    def observable(self, member: Member | None) -> bool:
        return member is not None and holds(member.policy_refs, self.pool.config.policy_refs)

    def end_wake(self, wake: Wake) -> Wake:
        """Record and store that a registered wake has ended, and enqueue its delivery."""
        pool_id = self.pool.pool_id
        ended = replace(wake, ended_sequence=self.next_sequence)
        self.record(wake_event(ended), ended)
        self.pool = replace(self.pool, open_wakes=self.pool.open_wakes - 1)
        self.tx.save_wake(pool_id, ended)
        if ended.deadline is not None:
            self.tx.drop_timer(pool_id, TimerKind.WAKE, ended.condition.condition_id)
        self.tx.enqueue_wake(pool_id, ended, _messages_to_fetch(ended))
        return ended

    def close(self) -> None:
        """Trigger the wakes that the recorded events match, then save the pool."""
        causes = list(self._recorded)
        if self.pool.open_wakes:
            self._trigger(causes)
        if self.pool != self._loaded:
            self.tx.save_pool(self.pool)
            self.tx.notify(self.pool.pool_id)

    def _trigger(self, causes: Sequence[Event]) -> None:
        for wake in self._candidates(causes):
            seen = wake
            for event in causes:
                seen = observe(seen, event, self.now)
            if seen.state is WakeState.TRIGGERED:
                self.end_wake(seen)
            elif seen is not wake:
                self.tx.save_wake(self.pool.pool_id, seen)

    def _candidates(self, causes: Iterable[Event]) -> list[Wake]:
        keys = {key for event in causes for key in event_keys(event)}
        found = self.tx.wake_candidates(self.pool.pool_id, keys)
        return sorted(found, key=lambda wake: wake.registered_sequence)


def _messages_to_fetch(wake: Wake) -> list[str]:
    """Ids of the matched messages that were delivered to the waiting run, in order."""
    run_id = wake.condition.run_id
    messages = (e.message_id for e in wake.matched if run_id in e.recipient_run_ids)
    return list(dict.fromkeys(messages))


def wake_event(wake: Wake) -> Event:
    """The event that ``wake`` has ended."""
    kind = END_KIND[wake.state]
    return Event(
        kind=kind,
        sender_run_id=wake.condition.run_id,
        condition_id=wake.condition.condition_id,
        policy_refs=wake.condition.policy_refs,
        terminal=True,
    )


class PoolCommands:
    """Runs commands on pools: lock, decide, record, answer, in one transaction."""

    def __init__(self, store: Store, clock: Clock, ids: IdSource) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids

    async def execute(
        self,
        caller: Caller,
        pool_id: str,
        decide: Callable[[Journal], T],
    ) -> T | Replay:
        """Run ``decide`` on the pool unless the request was answered before.

        Returns:
            What ``decide`` returns, or the stored answer.

        Raises:
            PoolNotFoundError: No such pool.
        """
        return await self.store.write(
            caller.tenant,
            lambda tx: once(tx, caller, lambda: self.run(tx, caller, pool_id, decide)),
        )

    def run(self, tx: Tx, caller: Caller, pool_id: str, decide: Callable[[Journal], T]) -> T:
        """Run ``decide`` on the locked pool within ``tx``.

        Raises:
            PoolNotFoundError: No such pool.
        """
        pool = tx.lock_pool(pool_id)
        if pool is None:
            raise PoolNotFoundError.of(pool_id)
        journal = Journal(tx, pool, caller, self.clock.now())
        result = decide(journal)
        journal.close()
        return result
