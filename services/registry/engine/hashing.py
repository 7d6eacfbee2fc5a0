"""Content hashes are computed soon after a version is published, never by who publishes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import partial

from services.chassis.clock import Clock
from services.chassis.failpoints import failpoint
from services.chassis.notifier import Bell, Notifier
from services.registry.core.hashing import MAX_HASHES, affordable, hashes_of
from services.registry.core.history_ports import HistoryReads, HistoryStore, HistoryTx

# Versions that come within it are hashed together.
_SETTLE_S = 0.5
_JITTER = 0.5
# In case a ring got lost: nothing depends on it, since a reader computes what it misses.
_POLL_S = 60.0

_HASHED = failpoint("registry.versions_hashed")


class ContentHashes:
    """The loop that writes them down.

    Args:
        channel: Rung for every new version.
    """

    def __init__(
        self, store: HistoryStore, *, notifier: Notifier, channel: str, clock: Clock
    ) -> None:
        self._store = store
        self._notifier = notifier
        self._channel = channel
        self._clock = clock

    async def run(self) -> None:
        with self._notifier.bell(self._channel) as bell:
            while True:
                await self.fill()
                await self._next(bell)

    async def fill(self) -> None:
        """Hash every version that lacks it, newest first, some at a time."""
        while hashes := await self._store.read(_missing):
            _HASHED.reach()
            await self._store.write(partial(_keep, hashes=hashes))

    async def _next(self, bell: Bell) -> None:
        await bell.wait(_POLL_S)
        # Replicas hear the same ring; whoever is later finds it done.
        await self._clock.sleep(_SETTLE_S * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311


def _keep(tx: HistoryTx, *, hashes: Mapping[int, bytes]) -> None:
    tx.keep_hashes(hashes)


def _missing(reads: HistoryReads) -> Mapping[int, bytes]:
    versions = reads.unhashed(MAX_HASHES)
    return hashes_of(reads, versions[: affordable(versions)])
