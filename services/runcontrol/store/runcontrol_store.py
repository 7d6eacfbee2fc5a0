"""The adapter of ``core.ports`` over the chassis store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from services.chassis.clock import Clock
from services.chassis.idempotency import TxRequestLog
from services.chassis.store.port import Store, Tx
from services.runcontrol.core.exchange import Ticket
from services.runcontrol.core.ports import (
    Codec,
    RunControlTx,
    RunControlView,
    TicketFilter,
)
from services.runcontrol.store import tables as t
from services.runcontrol.store.leases import SqlLeases
from services.runcontrol.store.threads import SqlThreads
from services.runcontrol.store.tickets import SqlTickets
from services.runcontrol.store.views import SqlViews, list_tickets

T = TypeVar("T")


class SqlRunControlTx(SqlThreads, SqlTickets, SqlLeases, TxRequestLog):
    """``RunControlTx`` on one transaction."""

    def __init__(self, tx: Tx, codec: Codec, clock: Clock) -> None:
        SqlThreads.__init__(self, tx, codec)
        TxRequestLog.__init__(self, tx, t.request, clock.now())


class SqlRunControlStore:
    """``RunControlStore`` on a database."""

    def __init__(self, store: Store, codec: Codec, clock: Clock) -> None:
        self._store = store
        self._codec = codec
        self._clock = clock

    def on(self, tx: Tx) -> RunControlTx:
        """The domain's transaction on one that is in progress."""
        return SqlRunControlTx(tx, self._codec, self._clock)

    async def write(self, fn: Callable[[RunControlTx], T]) -> T:
        return await self._store.write(lambda tx: fn(self.on(tx)))

    async def read(self, fn: Callable[[RunControlView], T]) -> T:
        return await self._store.read(lambda tx: fn(SqlViews(tx, self._codec)))

    async def list_tickets(self, tenant: str, wanted: TicketFilter) -> list[Ticket]:
        return await list_tickets(self._store, tenant, wanted)
