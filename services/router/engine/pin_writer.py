"""Keeps pins across restarts: written behind the calls, in batches."""

from __future__ import annotations

import logging

from services.chassis.clock import Clock
from services.chassis.errors import StoreUnavailableError
from services.router.core.pins import CAPACITY, Pins
from services.router.core.ports import PinStore

# What a crash may forget; a forgotten pin costs its session one more move.
INTERVAL_S = 0.2
# After a failed write, so that a full disk is not hammered.
PAUSE_S = 5.0

log = logging.getLogger(__name__)


class PinWriter:
    """The only one to touch the pin store."""

    def __init__(self, pins: Pins, store: PinStore, clock: Clock) -> None:
        self._pins = pins
        self._store = store
        self._clock = clock

    async def load(self) -> None:
        """Take over what an earlier process wrote; once, before the first call."""
        self._pins.load(await self._store.load(CAPACITY))

    async def run(self) -> None:
        """Write behind, for ever."""
        while True:
            await self._clock.sleep(INTERVAL_S)
            try:
                await self.flush()
            except StoreUnavailableError:
                log.warning("pins not stored; trying again", exc_info=True)
                await self._clock.sleep(PAUSE_S)

    async def flush(self) -> None:
        """Write what has changed.

        Raises:
            StoreUnavailableError: Nothing was written; the next flush tries again.
        """
        saved, gone = self._pins.take_unsaved()
        if not saved and not gone:
            return
        try:
            await self._store.save(saved, gone)
        except BaseException:
            self._pins.put_back(saved, gone)
            raise
