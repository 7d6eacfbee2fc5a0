"""The adapter of ``core.ports`` for the chassis store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from services.chassis.caller import RequestKey
from services.chassis.clock import Clock
from services.chassis.observe.metrics import Measuring
from services.chassis.store.idempotency import TxRequestLog
from services.chassis.store.port import Store, Tx
from services.runcontrol.core.exchange import Ticket
from services.runcontrol.core.ports import (
    Codec,
    Reads,
    TicketFilter,
)
from services.runcontrol.core.ports import Tx as RunTx
from services.runcontrol.core.work import Work
from services.runcontrol.store import tables as t
from services.runcontrol.store.leases import SqlLeases
from services.runcontrol.store.metrics import record
from services.runcontrol.store.threads import SqlThreads
from services.runcontrol.store.tickets import SqlTickets
from services.runcontrol.store.upkeep import SqlUpkeep
from services.runcontrol.store.views import SqlViews, list_tickets
from services.runcontrol.store.workers import SqlWorkers

T = TypeVar("T")

_ONLY_IDS = ("/SubmitRun", "/DeleteThread")


class SqlTx(SqlThreads, SqlTickets, SqlLeases, SqlWorkers, SqlUpkeep, TxRequestLog):
    """Implements ``core.ports.Tx`` on one transaction."""

    def __init__(self, tx: Tx, codec: Codec, clock: Clock) -> None:
        SqlThreads.__init__(self, tx, codec)
        TxRequestLog.__init__(self, tx, t.request, clock.now())

    def remember(self, request: RequestKey, body: bytes, **_: object) -> None:
        """The answer goes with the thread that it is about, unless it has nothing but ids."""
        only_ids = request.method.endswith(_ONLY_IDS)
        super().remember(request, body, thread_id="" if only_ids else self.locked)


class SqlStore:
    """Implements ``core.ports.Store`` on a database."""

    def __init__(self, store: Store, codec: Codec, clock: Clock) -> None:
        self._store = store
        self._codec = codec
        self._clock = clock

    def within(self, tx: Tx) -> RunTx:
        """The core's transaction on a transaction that is in progress."""
        return SqlTx(tx, self._codec, self._clock)

    async def write(self, fn: Callable[[RunTx], T]) -> T:
        if Measuring.provider is None:
            return await self._store.write(lambda tx: fn(self.within(tx)))

        def measured(tx: Tx) -> tuple[T, list[tuple[Work, Work]]]:
            run_tx = SqlTx(tx, self._codec, self._clock)
            return fn(run_tx), run_tx.changes

        result, changes = await self._store.write(measured)
        record(changes)
        return result

    async def write_first(self, fn: Callable[[RunTx], T]) -> T:
        return await self._store.write_first(lambda tx: fn(self.within(tx)))

    async def read(self, fn: Callable[[Reads], T]) -> T:
        return await self._store.read(lambda tx: fn(SqlViews(tx, self._codec)))

    async def list_tickets(self, tenant: str, wanted: TicketFilter) -> list[Ticket]:
        return await list_tickets(self._store, tenant, wanted)

    async def scrub(self) -> bool:
        return await self._store.scrub()
