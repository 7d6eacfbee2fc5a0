"""Stores changed pins in batches, after the calls that changed them."""

from __future__ import annotations

import logging

from services.chassis.clock import Clock
from services.chassis.errors import StoreUnavailableError
from services.router.core.pins import CAPACITY, Pins
from services.router.core.ports import Store

# A crash loses the changes of this time; a lost pin costs its session one more failover.
INTERVAL_S = 0.2
# Between attempts to write after a failure.
PAUSE_S = 5.0

log = logging.getLogger(__name__)


class PinWriter:
    """Reads the stored pins at start and writes the changed ones; nothing else uses the store."""

    def __init__(self, pins: Pins, store: Store, clock: Clock) -> None:
        self._pins = pins
        self._store = store
        self._clock = clock

    async def load(self) -> None:
        """Load the stored pins; call once, before the first call is served."""
        self._pins.load(await self._store.load(CAPACITY))

    async def run(self) -> None:
        """Flush every ``INTERVAL_S``, for ever; waits ``PAUSE_S`` after a failure."""
        while True:
            await self._clock.sleep(INTERVAL_S)
            try:
                await self.flush()
            except StoreUnavailableError:
                log.warning("pins not stored; trying again", exc_info=True)
                await self._clock.sleep(PAUSE_S)

    async def flush(self) -> None:
        """Write all changes.

        Raises:
            StoreUnavailableError: Nothing was written; the next flush tries again.
        """
        saved, gone = self._pins.take_unsaved()
        if not saved and not gone:
            return
        try:
            locked = await self._store.save(saved, gone)
        except BaseException:
            self._pins.put_back(saved, gone)
            raise
        self._pins.put_back(
            (each for each in saved if each.key in locked), (key for key in gone if key in locked)
        )
