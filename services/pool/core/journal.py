"""One commit on one pool: records in order, and the wakes they fire.

``Journal`` holds the locked pool for the length of a transaction. Use cases record what they
decide; ``close`` matches the wakes against it, after the records themselves, and saves the pool.
Firing a wake only writes rows, so it cannot fail the command that caused it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from services.chassis.caller import Replay, once
from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.pool.core.errors import (
    MessageNotFoundError,
    NotAMemberError,
    PoolNotFoundError,
    WakeNotFoundError,
)
from services.pool.core.events import (
    Event,
    TimerKind,
    Wake,
    WakeState,
)
from services.pool.core.filters import event_keys
from services.pool.core.model import (
    Caller,
    Member,
    MessageRecord,
    Pool,
)
from services.pool.core.policies import acting_name, authorize, holds
from services.pool.core.ports import Fact, PoolStore, PoolTx
from services.pool.core.waking import END_KIND, observe

T = TypeVar("T")


class Journal:
    """The locked pool, the time of the commit, and what it has recorded so far.

    Attributes:
        now: One instant for the whole commit.
    """

    def __init__(self, tx: PoolTx, pool: Pool, caller: Caller, now: datetime) -> None:
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
        """The member that the caller acts as.

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
        """Record, store and pass on the end of a wake that was registered until now."""
        pool_id = self.pool.pool_id
        ended = replace(wake, ended_sequence=self.next_sequence)
        self.record(wake_event(ended), ended)
        self.pool = replace(self.pool, open_wakes=self.pool.open_wakes - 1)
        self.tx.save_wake(pool_id, ended)
        if ended.deadline is not None:
            self.tx.drop_timer(pool_id, TimerKind.WAKE, ended.condition.condition_id)
        self.tx.enqueue_wake(pool_id, ended, self._delivered(ended))
        return ended

    def close(self) -> None:
        """Fire the wakes that the recorded events match, then save the pool."""
        caused = list(self._recorded)
        if self.pool.open_wakes:
            self._fire(caused)
        if self.pool != self._loaded:
            self.tx.save_pool(self.pool)
            self.tx.ring(self.pool.pool_id)

    def _fire(self, caused: Sequence[Event]) -> None:
        for wake in self._candidates(caused):
            seen = wake
            for event in caused:
                seen = observe(seen, event, self.now)
            if seen.state is WakeState.TRIGGERED:
                self.end_wake(seen)
            elif seen is not wake:
                self.tx.save_wake(self.pool.pool_id, seen)

    def _candidates(self, caused: Iterable[Event]) -> list[Wake]:
        keys = {key for event in caused for key in event_keys(event)}
        found = self.tx.wake_candidates(self.pool.pool_id, keys)
        return sorted(found, key=lambda wake: wake.registered_sequence)

    def _delivered(self, wake: Wake) -> list[str]:
        """Messages to the waiting run among what matched, in order."""
        run_id = wake.condition.run_id
        messages = (e.message_id for e in wake.matched if run_id in e.recipient_run_ids)
        return list(dict.fromkeys(messages))


def wake_event(wake: Wake) -> Event:
    kind = END_KIND[wake.state]
    return Event(
        kind=kind,
        sender_run_id=wake.condition.run_id,
        condition_id=wake.condition.condition_id,
        policy_refs=wake.condition.policy_refs,
        terminal=True,
    )


class Desk:
    """Runs commands on pools: load, decide, record, answer, in one transaction."""

    def __init__(self, store: PoolStore, clock: Clock, ids: IdSource) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids

    async def command(
        self,
        caller: Caller,
        pool_id: str,
        decide: Callable[[Journal], T],
        encode: Callable[[T], bytes],
    ) -> T | Replay:
        """Run ``decide`` on the pool unless the request was answered before.

        Raises:
            PoolNotFoundError: No such pool.
        """
        return await self.store.write(
            caller.principal.tenant,
            lambda tx: once(
                tx, caller.request, lambda: self.run(tx, caller, pool_id, decide), encode
            ),
        )

    def run(self, tx: PoolTx, caller: Caller, pool_id: str, decide: Callable[[Journal], T]) -> T:
        pool = tx.lock_pool(pool_id)
        if pool is None:
            raise PoolNotFoundError.of(pool_id)
        journal = Journal(tx, pool, caller, self.clock.now())
        result = decide(journal)
        journal.close()
        return result
