"""The use cases of waits: suspend, look, cancel and time out."""

from __future__ import annotations

from dataclasses import replace

from services.chassis.caller import Replay
from services.pool.core import waking
from services.pool.core.delivering import conflict
from services.pool.core.digests import of_condition
from services.pool.core.errors import WakeNotFoundError
from services.pool.core.events import (
    Event,
    EventKind,
    Wake,
    WakeCondition,
    WakeState,
)
from services.pool.core.journal import Desk, Journal
from services.pool.core.model import (
    Caller,
)
from services.pool.core.past import first_matches
from services.pool.core.ports import Encode
from services.pool.core.results import Suspended, WakeCancelled


class Wakes:
    def __init__(self, desk: Desk, encode: Encode) -> None:
        self._desk = desk
        self._encode = encode

    async def suspend_until(
        self, caller: Caller, pool_id: str, condition: WakeCondition
    ) -> Suspended | Replay:
        """Register ``condition`` and match it with the past, in one transaction.

        Raises:
            PoolNotFoundError: No such pool.
            IdempotencyConflictError: Key or id were used for another condition.
            NotAMemberError: The run is not in the pool.
            RunNotOwnedError: The run is bound to another principal.
            CursorOutOfRangeError: The log does not reach back, or not so far.
        """
        return await self._desk.command(
            caller, pool_id, lambda journal: _suspend(journal, condition), self._encode.suspended
        )

    async def get(self, caller: Caller, pool_id: str, condition_id: str) -> Suspended:
        """Raises:
        WakeNotFoundError: No such wake, or no such pool.
        """
        wake = await self._desk.store.read(
            caller.principal.tenant, lambda reader: reader.wake(pool_id, condition_id)
        )
        if wake is None:
            raise WakeNotFoundError.of(pool_id, condition_id)
        return Suspended(pool_id, wake)

    async def cancel(
        self, caller: Caller, pool_id: str, condition_id: str
    ) -> WakeCancelled | Replay:
        """End a wait; one that has ended stays as it is.

        Raises:
            WakeNotFoundError: No such wake.
            RunNotOwnedError: The run is bound to another principal.
        """
        return await self._desk.command(
            caller,
            pool_id,
            lambda journal: _cancel(journal, condition_id),
            self._encode.wake_cancelled,
        )


def time_out(journal: Journal, condition_id: str) -> None:
    """End a wait whose time is up; whoever ended it before has won."""
    wake = journal.wake(condition_id)
    if wake.state is WakeState.REGISTERED:
        journal.end_wake(waking.end(wake, WakeState.TIMED_OUT, "", "", journal.now))


def _suspend(journal: Journal, condition: WakeCondition) -> Suspended:
    pool_id = journal.pool.pool_id
    digest = of_condition(condition)
    stored = journal.tx.wake_by_key(pool_id, condition.idempotency_key)
    if stored is not None:
        if stored.digest != digest:
            raise conflict("idempotency_key", condition.idempotency_key)
        return Suspended(pool_id, stored, deduplicated=True)
    if journal.tx.wake(pool_id, condition.condition_id) is not None:
        raise conflict("condition_id", condition.condition_id)
    after = waking.scan_after(condition, journal.pool)
    wake = _register(journal, condition, digest)
    if waking.ends_at_once(condition):
        late = waking.end(wake, WakeState.TIMED_OUT, "", "", journal.now)
        return Suspended(pool_id, journal.end_wake(late))
    return Suspended(pool_id, _match_past(journal, wake, after))


def _register(journal: Journal, condition: WakeCondition, digest: bytes) -> Wake:
    pool_id = journal.pool.pool_id
    member = journal.acting(condition.run_id)
    wake = waking.register(
        condition, journal.next_sequence, digest, journal.caller.traceparent, journal.now
    )
    event = Event(
        kind=EventKind.WAKE_REGISTERED,
        sender_run_id=member.run_id,
        sender_agent_id=member.agent_id,
        condition_id=condition.condition_id,
        policy_refs=condition.policy_refs,
    )
    journal.record(event, wake)
    journal.pool = replace(journal.pool, open_wakes=journal.pool.open_wakes + 1)
    journal.tx.insert_wake(pool_id, wake)
    timer = waking.timer_of(wake)
    if timer is not None:
        journal.tx.set_timer(pool_id, timer)
    return wake


def _match_past(journal: Journal, wake: Wake, after: int) -> Wake:
    pool_id = journal.pool.pool_id
    condition = wake.condition
    events = first_matches(journal.tx, pool_id, condition.filters, after, condition.after_matches)
    seen = wake
    for event in events:
        seen = waking.observe(seen, event, journal.now)
    if seen.state is WakeState.TRIGGERED:
        return journal.end_wake(seen)
    if seen is not wake:
        journal.tx.save_wake(pool_id, seen)
    return seen


def _cancel(journal: Journal, condition_id: str) -> WakeCancelled:
    pool_id = journal.pool.pool_id
    wake = journal.wake(condition_id)
    journal.acting(wake.condition.run_id)
    if wake.state is not WakeState.REGISTERED:
        return WakeCancelled(pool_id, wake, changed=False)
    cancelled = waking.end(
        wake, WakeState.CANCELLED, "cancelled", journal.caller.traceparent, journal.now
    )
    return WakeCancelled(pool_id, journal.end_wake(cancelled), changed=True)
