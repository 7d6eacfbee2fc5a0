"""Which sender may deliver from a lane.

    one sender        it reads and serves the heads that are due
    several senders   each claims heads that are due: the row stores its holder, and the end of the
                      lease as its due time; closing a row gives the next row to the same holder

The lane of a sender that has died is released at once (``SenderLeases``).

The holder renews its lease while a delivery runs. If it cannot renew it, it stops the delivery
``skew_s`` before the lease ends by its own clock: clocks may differ by that much without two
concurrent deliveries. If a sender loses a lane all the same, its write changes no row.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from sqlalchemy import Table

from services.chassis.clock import Clock
from services.chassis.errors import DomainError
from services.chassis.failpoints import failpoint
from services.chassis.outbox.rows import CHANNEL, OutboxRow, row_of, statements_of
from services.chassis.outbox.statements import RowStatements
from services.chassis.store.port import Row, Store, Tx
from services.chassis.store.statement import Statement

# Longest time that a stop spends on releasing leases; the remaining ones expire.
RELEASE_LIMIT_S = 5.0

_CLAIMED = failpoint("outbox.claimed")
_RENEWED = failpoint("outbox.renewed")
_RELEASED = failpoint("outbox.released")

_LOG = logging.getLogger(__name__)

DueHeads: TypeAlias = tuple[list[OutboxRow], datetime | None]
OnLost: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LeaseTuning:
    """Durations of leases; unused if the store has one owner.

    Attributes:
        lease_s: Duration of a lease from a claim or renewal; renewed after a third of it.
        skew_s: Largest tolerated difference between the clocks of two processes.
        jitter_s: Longest random wait after the end of another sender's lease, so that the remaining
            senders do not claim its lanes at the same time.
    """

    lease_s: float = 30.0
    skew_s: float = 5.0
    jitter_s: float = 1.0

    @property
    def look_every_s(self) -> float:
        return self.lease_s / 6

    def is_stale(self, age_s: float) -> bool:
        """Whether a lease of age ``age_s`` must be renewed."""
        return age_s >= self.lease_s / 3

    def is_lost(self, age_s: float) -> bool:
        """Whether the holder must stop now, because the next check would be too late."""
        return age_s + self.look_every_s > self.lease_s - self.skew_s


@dataclass(frozen=True, slots=True)
class Grant:
    """The holder and due time written to the row that becomes the head of a lane.

    Attributes:
        since_s: Start of the lease, a monotonic instant before the write that grants it.
    """

    holder: str
    due_at: datetime
    since_s: float


class Claims(Protocol):
    """Claims, renews and releases lanes for one sender.

    Attributes:
        holder: Id stored in rows that only this sender may close or postpone.
    """

    holder: str

    def begin(self) -> None:
        """Choose a holder id that no earlier run of this process has used."""

    async def take(self, free: int, busy: Collection[str]) -> DueHeads:
        """Claim up to ``free`` due heads; return them and the due time of the next one.

        A lane in ``busy`` is returned only if its lease was lost.
        """

    def next_grant(self, lane: str, *, goes_on: bool) -> Grant:
        """Return the grant for the next row: to this sender if ``goes_on``, else to none."""

    def record_grant(self, lane: str, grant: Grant) -> None:
        """Record that the head of ``lane`` was written with ``grant``."""

    def forget(self, lane: str) -> None:
        """Drop the lease of ``lane`` from memory, without a write."""

    async def release(self, lane: str) -> None:
        """Release ``lane`` in the store if this sender may still hold it."""

    async def keep(self, on_lost: OnLost) -> None:
        """Renew leases until cancelled; call ``on_lost(lane)`` for each lane lost."""

    async def end(self) -> None:
        """Release every lease."""


class SoleSenderClaims:
    """``Claims`` of the only sender of a database: nothing is leased."""

    holder = ""

    def __init__(self, store: Store, sql: RowStatements, clock: Clock) -> None:
        self._store = store
        self._sql = sql
        self._clock = clock

    def begin(self) -> None:
        pass

    async def take(self, free: int, busy: Collection[str]) -> DueHeads:
        # The due heads include those of busy lanes, so read that many more.
        now, limit = self._clock.now(), free + len(busy)

        def look(tx: Tx) -> DueHeads:
            heads = [row_of(row) for row in tx.all(self._sql.due, now=now, limit=limit)]
            return heads, tx.all(self._sql.next_due, now=now)[0].due_at

        heads, next_due_at = await self._store.read(look)
        return [row for row in heads if row.lane not in busy][:free], next_due_at

    def next_grant(self, lane: str, *, goes_on: bool) -> Grant:
        return Grant("", self._clock.now(), 0.0)

    def record_grant(self, lane: str, grant: Grant) -> None:
        pass

    def forget(self, lane: str) -> None:
        pass

    async def release(self, lane: str) -> None:
        pass

    async def keep(self, on_lost: OnLost) -> None:
        pass

    async def end(self) -> None:
        pass


@dataclass(slots=True)
class _Lease:
    """The lease of a lane, as far as this process knows.

    Attributes:
        ending: Whether a write that closes its row is running, which replaces or ends the lease.
    """

    since_s: float
    ending: bool = False


class SenderLeases:
    """Implements ``dead_holders.Leases`` on the outbox of a service."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._sql = statements_of(table)
        self._clock = clock

    def holders(self, tx: Tx) -> Iterable[str]:
        return [row.holder for row in tx.all(self._sql.holders)]

    def release(self, tx: Tx, holder: str) -> None:
        if tx.changed(self._sql.release_dead, now=self._clock.now(), of_holder=holder):
            tx.notify(CHANNEL)


class LeaseClaims:
    """``Claims`` of one sender among several that share a database."""

    def __init__(
        self,
        store: Store,
        sql: RowStatements,
        clock: Clock,
        tuning: LeaseTuning,
        rng: random.Random,
    ) -> None:
        self.holder = ""
        self._store = store
        self._sql = sql
        self._clock = clock
        self._tuning = tuning
        self._rng = rng
        self._leases: dict[str, _Lease] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._taking: asyncio.Future[tuple[list[OutboxRow], Row | None]] | None = None

    def begin(self) -> None:
        of_run = f"{self._rng.getrandbits(64):016x}"
        instance = self._store.instance
        self.holder = f"{instance}.{of_run}" if instance else of_run

    async def take(self, free: int, busy: Collection[str]) -> DueHeads:
        if free <= 0:
            return [], None
        now, mark = self._clock.now(), self._mark()

        def claim(tx: Tx) -> tuple[list[OutboxRow], Row | None]:
            rows = tx.all(
                self._sql.claim, now=now, limit=free, to_holder=mark.holder, to_due_at=mark.due_at
            )
            next_claim = tx.one(self._sql.next_claim, now=now, holder=mark.holder)
            return [row_of(row) for row in rows], next_claim

        # Shielded, so that a stop can wait for the claim and then release it.
        self._taking = asyncio.ensure_future(self._store.write(claim))
        heads, next_claim = await asyncio.shield(self._taking)
        _CLAIMED.reach()
        for row in heads:
            self.record_grant(row.lane, mark)
        return sorted(heads, key=lambda row: row.lane), self._look_at(next_claim)

    def _mark(self) -> Grant:
        until = self._clock.now() + timedelta(seconds=self._tuning.lease_s)
        return Grant(self.holder, until, self._clock.monotonic_s())

    def _look_at(self, next_claim: Row | None) -> datetime | None:
        if next_claim is None:
            return None
        bound_s = self._tuning.jitter_s if next_claim.holder else 0.0
        due_at: datetime = next_claim.due_at
        return due_at + timedelta(seconds=self._rng.uniform(0.0, bound_s))

    def next_grant(self, lane: str, *, goes_on: bool) -> Grant:
        if lane in self._leases:
            self._leases[lane].ending = True
        return self._mark() if goes_on else Grant("", self._clock.now(), 0.0)

    def record_grant(self, lane: str, grant: Grant) -> None:
        if grant.holder:
            self._leases[lane] = _Lease(grant.since_s)
        else:
            self.forget(lane)

    def forget(self, lane: str) -> None:
        self._leases.pop(lane, None)

    async def release(self, lane: str) -> None:
        if self._leases.pop(lane, None) is not None:
            await self._release(self._sql.release, of_lane=lane)

    async def keep(self, on_lost: OnLost) -> None:
        try:
            while True:
                await self._clock.sleep(self._tuning.look_every_s)
                self._drop_expiring(on_lost)
                # In its own task: a hanging store must not delay dropping expiring leases.
                if self._renewing is None or self._renewing.done():
                    self._renewing = asyncio.ensure_future(self._renew(on_lost))
        finally:
            if self._renewing is not None:
                self._renewing.cancel()
                await asyncio.gather(self._renewing, return_exceptions=True)

    def _drop_expiring(self, on_lost: OnLost) -> None:
        now_s = self._clock.monotonic_s()
        for lane, lease in list(self._leases.items()):
            if self._tuning.is_lost(now_s - lease.since_s):
                self._lost(lane, on_lost)

    async def _renew(self, on_lost: OnLost) -> None:
        mark = self._mark()
        stale = {
            lane: lease
            for lane, lease in self._leases.items()
            if self._tuning.is_stale(mark.since_s - lease.since_s) and not lease.ending
        }
        if not stale:
            return
        try:
            renewed, locked = await self._store.write(lambda tx: self._renew_in(tx, stale, mark))
            _RENEWED.reach()
        except DomainError:
            _LOG.warning("outbox leases not renewed", extra={"lanes": len(stale)}, exc_info=True)
            return
        for lane, lease in stale.items():
            if self._leases.get(lane) is not lease or lease.ending:
                continue  # the lease was replaced or ended meanwhile
            if lane in renewed:
                lease.since_s = mark.since_s
            elif lane not in locked:
                self._lost(lane, on_lost)

    def _renew_in(
        self, tx: Tx, lanes: Collection[str], mark: Grant
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Lanes renewed, and lanes still held whose row is locked, which is not waited for."""
        mine = {"of_holder": mark.holder}
        to = {"to_due_at": mark.due_at}
        renewed = frozenset(
            lane for lane in lanes if tx.changed(self._sql.renew, of_lane=lane, **mine, **to)
        )
        rest = (lane for lane in lanes if lane not in renewed)
        return renewed, frozenset(
            lane for lane in rest if tx.one(self._sql.held, of_lane=lane, **mine) is not None
        )

    def _lost(self, lane: str, on_lost: OnLost) -> None:
        _LOG.warning("outbox lane lost", extra={"lane": lane})
        self.forget(lane)
        on_lost(lane)

    async def end(self) -> None:
        self._leases.clear()
        try:
            async with asyncio.timeout(RELEASE_LIMIT_S):
                if self._taking is not None:
                    await asyncio.wait({self._taking})
                await self._release(self._sql.release_all)
        except TimeoutError:
            _LOG.warning("outbox leases not released in time")

    async def _release(self, statement: Statement, **which: object) -> None:
        now, holder = self._clock.now(), self.holder

        def release(tx: Tx) -> None:
            if tx.changed(statement, now=now, of_holder=holder, **which):
                tx.notify(CHANNEL)

        try:
            await self._store.write(release)
            _RELEASED.reach()
        except DomainError:
            _LOG.warning("outbox lease not released", exc_info=True)
