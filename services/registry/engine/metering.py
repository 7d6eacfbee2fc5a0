"""Measures the current version and the lag of watches."""

from __future__ import annotations

from asyncio import Future, ensure_future, shield
from datetime import datetime
from functools import partial

from services.chassis.clock import Clock
from services.chassis.errors import DomainError
from services.chassis.follow.notifier import Notifier
from services.chassis.observe.metrics import measuring
from services.registry.core.ports import Reads, Store
from services.registry.core.stored import VersionFilter
from services.registry.engine.telemetry_names import LAG, VERSION

# In case a notification got lost.
_POLL_S = 60.0


async def report_version(store: Store, notifier: Notifier, channel: str) -> None:
    """Keep the gauge at the current version, including those that another replica publishes."""
    with notifier.signal(channel) as signal:
        while True:
            head = await store.read(lambda reads: reads.head())
            VERSION.set(head.version)
            await signal.wait(_POLL_S)


class WatchLag:
    """Records how long versions take to reach watchers that wait for them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # One read for all watchers that reach the same version.
        self._latest: tuple[int, Future[datetime | None]] | None = None

    async def shown(self, version: int) -> None:
        """Record that a watcher was sent the last frame of ``version``."""
        if not measuring():
            return
        now = self._clock.now()
        published_at = await self._published_at(version)
        if published_at is not None:
            LAG.record((now - published_at).total_seconds())

    async def _published_at(self, version: int) -> datetime | None:
        if self._latest is None or self._latest[0] != version:
            self._latest = version, ensure_future(self._read(version))
        # The end of one watch must not cancel the read for the others.
        return await shield(self._latest[1])

    async def _read(self, version: int) -> datetime | None:
        try:
            return await self._store.read(partial(_published_at, version=version))
        except DomainError:  # a watch must not end because its lag is unknown
            return None


def _published_at(reads: Reads, *, version: int) -> datetime | None:
    found = reads.published(VersionFilter(), version, 1)
    return found[0].at if found and found[0].version == version else None
