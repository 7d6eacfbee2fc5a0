"""Shares the routing state with the other replicas, through the database and behind the calls.

    a change ──► batch, every 0.2 s ──► database ──► notification ──► read by each other replica

A replica that missed a notification, or the database for a while, reads what was written since its
last read; it looks every ``LOOK_S`` also without a notification.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from services.chassis.clock import Clock
from services.chassis.errors import StoreUnavailableError
from services.chassis.follow.notifier import Notifier
from services.router.core.pins import CAPACITY
from services.router.core.ports import Store
from services.router.engine.changes import RoutingChanges
from services.router.engine.routing_state import RoutingState

# A crash loses the changes of this time; a lost pin costs its session one more failover.
INTERVAL_S = 0.2
# Between attempts after a failure, unless the database is known to be back.
PAUSE_S = 5.0
# In case a notification got lost.
LOOK_S = 5.0
FORGET_S = 60.0
# What has ended stays so long, for replicas whose clocks are behind.
_GRACE = timedelta(minutes=1)
# Of one write, and of one read, which is taken in without a pause.
_PAGE = 500

log = logging.getLogger(__name__)


class StateSharing:
    """Nothing else uses the store.

    Args:
        channel: Notified by every process that stores something.
    """

    def __init__(
        self,
        routing: RoutingState,
        changes: RoutingChanges,
        store: Store,
        clock: Clock,
        channel: str,
    ) -> None:
        self._routing = routing
        self._changes = changes
        self._store = store
        self._clock = clock
        self._channel = channel
        # Of the last write that this process knows of.
        self._number = 0
        self._look_due_s = self._forget_due_s = 0.0

    async def load(self) -> None:
        """Take in what is stored; call once, before the first call is served."""
        news = await self._store.load(CAPACITY)
        for entry in news.entries:
            self._routing.merge(entry)
        self._number = news.number

    async def run(self, notifier: Notifier) -> None:
        """Write and read until cancelled; an outage of the database delays both."""
        with notifier.signal(self._channel) as signal:
            behind = True
            while True:
                await self._clock.sleep(INTERVAL_S)
                behind = await signal.wait(0) or behind
                try:
                    await self.flush()
                    await self._look(now=behind)
                    await self._forget_ended()
                    behind = False
                except StoreUnavailableError:
                    log.warning("routing state not shared; trying again", exc_info=True)
                    await signal.wait(PAUSE_S)

    async def flush(self) -> None:
        """Write all changes.

        Raises:
            StoreUnavailableError: Some were not written; the next flush tries again.
        """
        entries = self._changes.take_unsaved()
        while entries:
            try:
                saved = await self._store.save(entries[:_PAGE])
            except BaseException:
                self._changes.put_back(entries)
                raise
            entries = entries[_PAGE:]
            self._changes.put_back(saved.locked)
            if self._number == saved.number - saved.written:
                self._number = saved.number

    async def _look(self, *, now: bool) -> None:
        """Take in what others have written."""
        now_s = self._clock.monotonic_s()
        if not now and now_s < self._look_due_s:
            return
        more = True
        while more:
            news = await self._store.news(self._number, _PAGE)
            for entry in news.entries:
                self._routing.merge(entry)
            self._number, more = news.number, news.more
        self._look_due_s = now_s + LOOK_S

    async def _forget_ended(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._forget_due_s:
            await self._store.forget(self._clock.now() - _GRACE)
            self._forget_due_s = now_s + FORGET_S
