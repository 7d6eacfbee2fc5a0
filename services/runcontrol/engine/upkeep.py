"""The loop of a server that deletes what nobody needs any more."""

from __future__ import annotations

import logging

from services.chassis.clock import Clock
from services.chassis.errors import DomainError
from services.runcontrol.core.compacting import Compaction
from services.runcontrol.core.deleting import Deletion

EVERY_S = 1.0

log = logging.getLogger(__name__)


class Upkeep:
    """Deletes in slices, beside everything else."""

    def __init__(self, compaction: Compaction, deletion: Deletion, clock: Clock) -> None:
        self._compaction = compaction
        self._deletion = deletion
        self._clock = clock

    async def run(self) -> None:
        """Look for what is due every second; never return."""
        while True:
            try:
                await self._compaction.compact()
                await self._deletion.resume()
            except DomainError as error:
                log.warning("nothing deleted", exc_info=error)
            await self._clock.sleep(EVERY_S)
