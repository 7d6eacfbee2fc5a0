"""The loop of a server that deletes what nobody needs any more."""

from __future__ import annotations

import logging

from services.chassis.clock import Clock
from services.chassis.errors import DomainError
from services.runcontrol.core.compacting import Compaction
from services.runcontrol.core.deleting import Deletion
from services.runcontrol.core.retention import Retention

EVERY_S = 1.0
OLD_EVERY_S = 60.0

log = logging.getLogger(__name__)


class Upkeep:
    """Deletes in slices, beside everything else."""

    def __init__(
        self, compaction: Compaction, deletion: Deletion, retention: Retention, clock: Clock
    ) -> None:
        self._compaction = compaction
        self._deletion = deletion
        self._retention = retention
        self._clock = clock
        self._old_at_s = clock.monotonic_s()

    async def run(self) -> None:
        """Look for what is due every second, for old threads every minute; never return."""
        while True:
            try:
                await self._compaction.compact()
                await self._bury_old()
                await self._deletion.resume()
            except DomainError as error:
                log.warning("nothing deleted", exc_info=error)
            await self._clock.sleep(EVERY_S)

    async def _bury_old(self) -> None:
        if not self._retention.limited or self._clock.monotonic_s() < self._old_at_s:
            return
        # While there are some, more may be left.
        if not await self._retention.bury_old():
            self._old_at_s = self._clock.monotonic_s() + OLD_EVERY_S
