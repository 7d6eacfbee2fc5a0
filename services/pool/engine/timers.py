"""The timer loop: what is due happens, also what fell due while nobody ran."""

from __future__ import annotations

import logging
from datetime import datetime

from services.chassis.clock import Clock
from services.chassis.notifier import Notifier
from services.pool.core.events import (
    DueTimer,
)
from services.pool.core.ports import PoolStore
from services.pool.core.timing import Timers

# The table is the truth: a lost ring costs no more than this.
POLL_S = 5.0
BATCH = 64

_LOG = logging.getLogger(__name__)


class TimerLoop:
    """Fires the timers of every pool; a timer is a row, so a restart forgets none.

    Args:
        channel: Rung when a timer is set.
    """

    def __init__(
        self, store: PoolStore, timers: Timers, notifier: Notifier, clock: Clock, channel: str
    ) -> None:
        self._store = store
        self._timers = timers
        self._notifier = notifier
        self._clock = clock
        self._channel = channel

    async def run(self) -> None:
        """Fire until cancelled."""
        with self._notifier.bell(self._channel) as bell:
            while True:
                await bell.wait(await self._fire_due())

    async def _fire_due(self) -> float:
        """Fire what is due; answer how long nothing else will be, in seconds."""
        pending = await self._store.due_timers(BATCH)
        due = [each for each in pending if each.timer.due_time <= self._clock.now()]
        fired = [await self._fire(each) for each in due]
        if len(due) == BATCH and any(fired):
            return 0.0
        later = (each.timer.due_time for each in pending[len(due) :])
        return self._pause_s(next(later, None))

    async def _fire(self, due: DueTimer) -> bool:
        try:
            await self._timers.fire(due)
        except Exception:
            # One pool's trouble, a defect included, must not stop the clocks of the others; the
            # row stays.
            _LOG.exception(
                "timer not fired", extra={"kind": due.timer.kind.value, "pool_id": due.pool_id}
            )
            return False
        return True

    def _pause_s(self, due_time: datetime | None) -> float:
        if due_time is None:
            return POLL_S
        left_s = (due_time - self._clock.now()).total_seconds()
        return min(POLL_S, max(0.0, left_s))
