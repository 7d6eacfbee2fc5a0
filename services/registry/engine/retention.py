"""Removes versions that the retention policy does not keep, in small transactions."""

from __future__ import annotations

import random
from datetime import datetime
from functools import partial

from services.chassis.clock import Clock
from services.chassis.failpoints import failpoint
from services.registry.core.history.retaining import RetentionPolicy, oldest_to_keep
from services.registry.core.ports import Store, Tx
from services.registry.engine.telemetry_names import RETIRED

ROUND_S = 60.0
_JITTER = 0.2
# Per transaction: writers wait for its end.
VERSIONS_PER_STEP = 100
CONTENTS_PER_STEP = 500

_RETIRED = failpoint("registry.versions_retired")
_SWEPT = failpoint("registry.contents_swept")


class Retention:
    """The loop; processes on one database may all run it, serialised by the lock on the head."""

    def __init__(self, store: Store, policy: RetentionPolicy, clock: Clock) -> None:
        self._store = store
        self._policy = policy
        self._clock = clock

    async def run(self) -> None:
        while True:
            await self.round()
            # Replicas that started together drift apart; it need not be unpredictable.
            await self._clock.sleep(ROUND_S * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311

    async def round(self) -> None:
        """Remove everything that is due, including what an interrupted round left."""
        while gone := await self._store.write(partial(self._retire, now=self._clock.now())):
            RETIRED.add(gone)
            _RETIRED.reach()
        swept_all = False
        while not swept_all:
            swept_all = await self._store.write(_sweep)
            _SWEPT.reach()

    def _retire(self, tx: Tx, *, now: datetime) -> int:
        """Raise the oldest kept version; return by how many. Older ones are no longer read."""
        head = tx.lock_head()
        first = tx.oldest_published(VERSIONS_PER_STEP)
        oldest = oldest_to_keep(head, first, self._policy, now)
        if oldest == head.oldest_version:
            return 0
        tx.retire(oldest)
        return oldest - head.oldest_version


def _sweep(tx: Tx) -> bool:
    """Delete one batch of contents that no kept version needs; return whether it was the last."""
    tx.lock_head()
    return tx.sweep(CONTENTS_PER_STEP) < CONTENTS_PER_STEP
