"""Computes content hashes soon after a version is published, outside of that transaction."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import partial

from services.chassis.clock import Clock
from services.chassis.failpoints import failpoint
from services.chassis.follow.notifier import Notifier, Signal
from services.registry.core.history.hashing import MAX_HASHES, hashable_at_once, hashes_of
from services.registry.core.ports import Reads, Store, Tx

# Versions that come within it are hashed together.
_SETTLE_S = 0.5
_JITTER = 0.5
# In case a notification got lost; readers compute a missing hash themselves.
_POLL_S = 60.0

_HASHED = failpoint("registry.versions_hashed")


class ContentHashes:
    """Stores missing content hashes, in a loop.

    Args:
        channel: Notified for every new version.
    """

    def __init__(self, store: Store, *, notifier: Notifier, channel: str, clock: Clock) -> None:
        self._store = store
        self._notifier = notifier
        self._channel = channel
        self._clock = clock

    async def run(self) -> None:
        with self._notifier.signal(self._channel) as signal:
            while True:
                await self.fill()
                await self._next(signal)

    async def fill(self) -> None:
        """Hash every version without a hash, newest first, in batches."""
        while hashes := await self._store.read(_missing):
            _HASHED.reach()
            await self._store.write(partial(_keep, hashes=hashes))

    async def _next(self, signal: Signal) -> None:
        await signal.wait(_POLL_S)
        # All replicas are notified; the jitter lets one do the work and the others find it done.
        await self._clock.sleep(_SETTLE_S * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311


def _keep(tx: Tx, *, hashes: Mapping[int, bytes]) -> None:
    tx.save_hashes(hashes)


def _missing(reads: Reads) -> Mapping[int, bytes]:
    versions = reads.unhashed(MAX_HASHES)
    return hashes_of(reads, versions[: hashable_at_once(versions)])
