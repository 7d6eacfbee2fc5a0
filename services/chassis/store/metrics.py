"""The metrics of the store."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.chassis.errors import DomainError
from services.chassis.observe.metrics import SHORT_SECONDS, Counter, Histogram, measuring
from services.chassis.observe.names import (
    ERROR_TYPE,
    STORE_COMMIT_CLOSURES,
    STORE_DURATION,
    STORE_QUEUE_DURATION,
    STORE_RETRIES,
    STORE_WORK,
)
from services.chassis.store.port import Row, Store, StoreInfo, Tx
from services.chassis.store.statement import Statement

T = TypeVar("T")

WRITE, READ, LIST = ({STORE_WORK: work} for work in ("write", "read", "list"))

DURATION = Histogram(
    STORE_DURATION,
    "s",
    "From handing work to the store to its answer, the commit included.",
    SHORT_SECONDS,
)
QUEUED = Histogram(
    STORE_QUEUE_DURATION, "s", "How long closures waited for a thread.", SHORT_SECONDS
)
CLOSURES = Histogram(
    STORE_COMMIT_CLOSURES,
    "{closure}",
    "Closures that shared a commit.",
    (1, 2, 4, 8, 16, 32, 64, 128, 256),
)
RETRIES = Counter(STORE_RETRIES, "{retry}", "Closures that were run again, by cause.")


def timed(store: Store) -> Store:
    """Return ``store``, wrapped so that its calls are timed if metrics are on."""
    return _TimedStore(store) if measuring() else store


class _TimedStore:
    """Implements ``port.Store``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def info(self) -> StoreInfo:
        return self._store.info

    @property
    def sole_owner(self) -> bool:
        return self._store.sole_owner

    @property
    def unavailable_cause(self) -> str:
        return self._store.unavailable_cause

    @property
    def instance(self) -> str:
        return self._store.instance

    async def write(self, fn: Callable[[Tx], T]) -> T:
        return await _record_duration(self._store.write(fn), WRITE)

    async def write_first(self, fn: Callable[[Tx], T]) -> T:
        return await _record_duration(self._store.write_first(fn), WRITE)

    async def read(self, fn: Callable[[Tx], T]) -> T:
        return await _record_duration(self._store.read(fn), READ)

    async def fetch(self, statement: Statement, /, **params: object) -> list[Row]:
        return await _record_duration(self._store.fetch(statement, **params), LIST)

    async def scrub(self) -> bool:
        return await self._store.scrub()


async def _record_duration(work: Awaitable[T], attributes: dict[str, str]) -> T:
    started_s = time.monotonic()
    try:
        done = await work
    except Exception as error:
        # A domain error is recorded under its reason.
        reason = error.reason if isinstance(error, DomainError) else type(error).__qualname__
        DURATION.record_since(started_s, {**attributes, ERROR_TYPE: reason})
        raise
    DURATION.record_since(started_s, attributes)
    return done
