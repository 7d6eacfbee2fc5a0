"""The timer loop: fires timers when they are due, or at start if they were due before."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TypeAlias

from services.chassis.clock import Clock
from services.chassis.each_row import each_row
from services.chassis.follow.notifier import Notifier
from services.pool.core.events import DueTimer
from services.pool.core.ports import Store
from services.pool.core.timers import Timers

# A lost notification delays a timer by this much at most.
POLL_S = 5.0
BATCH = 64
# Until another attempt at the timers of a pool that was locked.
LOCKED_PAUSE_S = 0.5

# Tenant and pool id.
_PoolKey: TypeAlias = tuple[str, str]


class TimerLoop:
    """Fires the timers of all pools; a timer is a row, so a restart loses none.

    Args:
        channel: Notified when a timer is set.
    """

    def __init__(
        self, store: Store, timers: Timers, notifier: Notifier, clock: Clock, channel: str
    ) -> None:
        self._store = store
        self._timers = timers
        self._notifier = notifier
        self._clock = clock
        self._channel = channel

    async def run(self) -> None:
        """Fire until cancelled."""
        with self._notifier.signal(self._channel) as signal:
            while True:
                await signal.wait(await self._fire_due())

    async def _fire_due(self) -> float:
        """Fire what is due; return how long to wait for the next timer, in seconds."""
        locked: set[_PoolKey] = set()
        after: DueTimer | None = None
        while True:
            pending = await self._store.due_timers(BATCH, after)
            due = [each for each in pending if each.timer.due_time <= self._clock.now()]
            # A row whose timer did not fire stays, and those behind it get their turn.
            await each_row(due, partial(self._fire, locked), _named)
            if len(due) < BATCH:
                break
            after = due[-1]
        later = (each.timer.due_time for each in pending[len(due) :])
        pause_s = self._pause_s(next(later, None))
        return min(pause_s, LOCKED_PAUSE_S) if locked else pause_s

    async def _fire(self, locked: set[_PoolKey], due: DueTimer) -> None:
        """Fire a timer unless its pool is locked; then add the pool to ``locked``."""
        pool = (due.tenant, due.pool_id)
        if pool not in locked and not await self._timers.fire(due):
            locked.add(pool)

    def _pause_s(self, due_time: datetime | None) -> float:
        if due_time is None:
            return POLL_S
        until_due_s = (due_time - self._clock.now()).total_seconds()
        return min(POLL_S, max(0.0, until_due_s))


def _named(due: DueTimer) -> dict[str, object]:
    return {"kind": due.timer.kind.value, "pool_id": due.pool_id}
