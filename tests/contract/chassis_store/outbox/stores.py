"""A store as one process sees it: shared with others, out of reach, or seen for the last time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from services.chassis.errors import StoreUnavailableError
from services.chassis.store.port import Row, Store, StoreInfo, Tx
from services.chassis.store.statement import Statement
from tests.contract.chassis_store.engines import Engine

T = TypeVar("T")


class View:
    """A store seen from one process.

    Attributes:
        sole_owner: What this process believes.
        instance: Its name in its leases.
        away: Nothing arrives, as long as it is set.
        fails_at: Number of the call that fails; the first is 1.
        after: That call fails after its commit: the answer is lost, not the work.
        calls: How many there were.
        under_way: How many have not come back.
    """

    def __init__(self, store: Store, *, sole_owner: bool) -> None:
        self._store = store
        self.sole_owner = sole_owner
        self.instance = store.instance
        self.away = False
        self.fails_at = 0
        self.after = False
        self.calls = 0
        self.under_way = 0

    @property
    def info(self) -> StoreInfo:
        return self._store.info

    @property
    def unavailable_cause(self) -> str:
        return self._store.unavailable_cause

    async def write(self, fn: Callable[[Tx], T]) -> T:
        return await self._call(lambda: self._store.write(fn))

    async def read(self, fn: Callable[[Tx], T]) -> T:
        return await self._call(lambda: self._store.read(fn))

    async def fetch(self, statement: Statement, /, **params: object) -> list[Row]:
        return await self._store.fetch(statement, **params)

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        self.calls += 1
        fails = self.calls == self.fails_at
        if self.away or (fails and not self.after):
            raise StoreUnavailableError("the database is away")
        self.under_way += 1
        try:
            result = await call()
        finally:
            self.under_way -= 1
        if fails:
            raise StoreUnavailableError("the database is away")
        return result


@dataclass(frozen=True, slots=True)
class SharedEngine(Engine):
    """An engine whose stores say that other processes use them as well."""

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncIterator[Store]:
        async with Engine.open(self, **options) as store:
            yield View(store, sole_owner=False)
