"""Use cases of wakes: suspend, read, cancel and time out."""

from __future__ import annotations

from dataclasses import replace

from services.chassis.caller import Caller, Replay
from services.pool.core import waking
from services.pool.core.digests import of_condition
from services.pool.core.errors import WakeNotFoundError, already_used
from services.pool.core.events import Event, EventKind, Wake, WakeCondition, WakeState
from services.pool.core.journal import Journal, PoolCommands
from services.pool.core.log_search import first_matches
from services.pool.core.results import Suspended, WakeCancelled


class Wakes:
    def __init__(self, commands: PoolCommands) -> None:
        self._commands = commands

    async def suspend_until(
        self, caller: Caller, pool_id: str, condition: WakeCondition
    ) -> Suspended | Replay:
        """Register ``condition`` and match it against the log, in one transaction.

        Raises:
            PoolNotFoundError: No such pool.
            IdempotencyConflictError: The key or the id was used for another condition.
            NotAMemberError: The run is not in the pool.
            RunNotOwnedError: The run is bound to another principal.
            CursorOutOfRangeError: The cursor is not within the log.
        """
        return await self._commands.execute(
            caller, pool_id, lambda journal: _suspend(journal, condition)
        )

    async def get(self, caller: Caller, pool_id: str, condition_id: str) -> Suspended:
        """Raises:
        WakeNotFoundError: No such wake, or no such pool.
        """
        wake = await self._commands.store.read(
            caller.tenant, lambda reader: reader.wake(pool_id, condition_id)
        )
        if wake is None:
            raise WakeNotFoundError.of(pool_id, condition_id)
        return Suspended(pool_id, wake)

    async def cancel(
        self, caller: Caller, pool_id: str, condition_id: str
    ) -> WakeCancelled | Replay:
        """End a wake as cancelled; one that has ended stays as it is.

        Raises:
            PoolNotFoundError: No such pool.
            WakeNotFoundError: No such wake.
            NotAMemberError: The run is not in the pool.
            RunNotOwnedError: The run is bound to another principal.
        """
        return await self._commands.execute(
            caller, pool_id, lambda journal: _cancel(journal, condition_id)
        )


def time_out(journal: Journal, condition_id: str) -> None:
    """End a wake as timed out; one that has ended stays as it is."""
    wake = journal.wake(condition_id)
    if wake.state is WakeState.REGISTERED:
        journal.end_wake(waking.end(wake, WakeState.TIMED_OUT, "", "", journal.now))


def _suspend(journal: Journal, condition: WakeCondition) -> Suspended:
    pool_id = journal.pool.pool_id
    digest = of_condition(condition)
    stored = journal.tx.wake_by_key(pool_id, condition.idempotency_key)
    if stored is not None:
        if stored.digest != digest:
            raise already_used("idempotency_key", condition.idempotency_key)
        return Suspended(pool_id, stored, deduplicated=True)
    if journal.tx.wake(pool_id, condition.condition_id) is not None:
        raise already_used("condition_id", condition.condition_id)
    after = waking.scan_after(condition, journal.pool)
    wake = _register(journal, condition, digest)
    if waking.ends_at_once(condition):
        ended = waking.end(wake, WakeState.TIMED_OUT, "", "", journal.now)
        return Suspended(pool_id, journal.end_wake(ended))
    return Suspended(pool_id, _match_log(journal, wake, after))


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


def _match_log(journal: Journal, wake: Wake, after: int) -> Wake:
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
