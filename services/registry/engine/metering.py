"""What the registry does, in numbers."""

from __future__ import annotations

from asyncio import Future, ensure_future, shield
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from services.chassis.caller import Replay
from services.chassis.clock import Clock
from services.chassis.errors import DomainError
from services.chassis.metrics import Counter, Gauge, Histogram, UpDownCounter, measuring
from services.chassis.notifier import Notifier
from services.chassis.telemetry_names import OUTCOME
from services.registry.core.history_ports import (
    HistoryReads,
    HistoryStore,
    HistoryTx,
    VersionFilter,
)

# One series per violation code of the contract; field rules have none.
CODE: Final = "runyard.registry.code"

VERSION = Gauge("runyard.registry.version", "{version}", "The current version.")
MUTATIONS = Counter("runyard.registry.mutations", "{mutation}", "Mutations, by how they ended.")
VIOLATIONS = Counter(
    "runyard.registry.violations", "{violation}", "What was wrong with refused mutations."
)
WATCHERS = UpDownCounter("runyard.registry.watchers", "{watcher}", "Open watches.")
LAG = Histogram(
    "runyard.registry.watch.lag",
    "s",
    "From the publication of a version to the frame that brings a live watcher there.",
)
RETIRED = Counter(
    "runyard.registry.retired_versions", "{version}", "Versions that retention let go."
)

# In case a ring got lost.
_POLL_S = 60.0

T = TypeVar("T")


def metered(store: HistoryStore) -> HistoryStore:
    """``store`` for the use cases, which counts their mutations if anybody measures."""
    return _Metered(store) if measuring() else store


class _Metered:
    """Implements ``HistoryStore``."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store

    async def write(self, fn: Callable[[HistoryTx], T]) -> T:
        try:
            answer = await self._store.write(fn)
        except DomainError as error:
            MUTATIONS.add(1, {OUTCOME: error.reason})
            for violation in error.violations:
                VIOLATIONS.add(1, {CODE: violation.reason or "field"})
            raise
        MUTATIONS.add(1, {OUTCOME: "replayed" if isinstance(answer, Replay) else "done"})
        return answer

    async def read(self, fn: Callable[[HistoryReads], T]) -> T:
        return await self._store.read(fn)


async def show_version(store: HistoryStore, notifier: Notifier, channel: str) -> None:
    """Keep the gauge of the current version, also of one that another replica has made."""
    with notifier.bell(channel) as bell:
        while True:
            head = await store.read(lambda reads: reads.head())
            VERSION.set(head.version)
            await bell.wait(_POLL_S)


class WatchLag:
    """How long versions take to reach watchers who wait for them."""

    def __init__(self, store: HistoryStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # One look for all watchers that are told of the same version.
        self._looked: tuple[int, Future[datetime | None]] | None = None

    async def shown(self, version: int) -> None:
        """A watcher was given the last frame of ``version``."""
        if not measuring():
            return
        now = self._clock.now()
        published_at = await self._published_at(version)
        if published_at is not None:
            LAG.record((now - published_at).total_seconds())

    async def _published_at(self, version: int) -> datetime | None:
        if self._looked is None or self._looked[0] != version:
            self._looked = version, ensure_future(self._look(version))
        # Whoever leaves meanwhile must not take the answer from the others.
        return await shield(self._looked[1])

    async def _look(self, version: int) -> datetime | None:
        try:
            return await self._store.read(partial(_published_at, version=version))
        except DomainError:  # a watch must not end because its lag is unknown
            return None


def _published_at(reads: HistoryReads, *, version: int) -> datetime | None:
    found = reads.published(VersionFilter(), version, 1)
    return found[0].at if found and found[0].version == version else None
