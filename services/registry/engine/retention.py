"""Versions go when they are neither new nor young: in small steps, beside everybody's work."""

from __future__ import annotations

import random
from datetime import datetime
from functools import partial

from services.chassis.clock import Clock
from services.chassis.failpoints import failpoint
from services.registry.core.history_ports import HistoryStore, HistoryTx
from services.registry.core.retaining import Keeping, oldest_to_keep
from services.registry.engine.metering import RETIRED

ROUND_S = 60.0
_JITTER = 0.2
# What one transaction removes: writers wait for it.
VERSIONS_PER_STEP = 100
CONTENTS_PER_STEP = 500

_RETIRED = failpoint("registry.versions_retired")
_SWEPT = failpoint("registry.contents_swept")


class Retention:
    """The loop; several processes on one database may run it, the lock on the head orders them."""

    def __init__(self, store: HistoryStore, keeping: Keeping, clock: Clock) -> None:
        self._store = store
        self._keeping = keeping
        self._clock = clock

    async def run(self) -> None:
        while True:
            await self.round()
            # Replicas that began together must not go on together; it need not be unpredictable.
            await self._clock.sleep(ROUND_S * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311

    async def round(self) -> None:
        """Remove all that may go now; what a round before was killed at included."""
        while gone := await self._store.write(partial(self._retire, now=self._clock.now())):
            RETIRED.add(gone)
            _RETIRED.reach()
        swept_all = False
        while not swept_all:
            swept_all = await self._store.write(_sweep)
            _SWEPT.reach()

    def _retire(self, tx: HistoryTx, *, now: datetime) -> int:
        """Move the oldest kept version, by how many: nobody reads what is older from then on."""
        head = tx.lock_head()
        first = tx.published_first(VERSIONS_PER_STEP)
        oldest = oldest_to_keep(head, first, self._keeping, now)
        if oldest == head.oldest_version:
            return 0
        tx.retire(oldest)
        return oldest - head.oldest_version


def _sweep(tx: HistoryTx) -> bool:
    """Whether nothing is left that no kept version needs."""
    tx.lock_head()
    return tx.sweep(CONTENTS_PER_STEP) < CONTENTS_PER_STEP
