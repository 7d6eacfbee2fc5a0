"""Who may send from a lane: a sender that is alone with its database, or one of several.

    alone     heads that are due are read and served; nobody else could
    shared    heads that are due are claimed: the row names its holder and falls due again when
              the lease ends; the row behind it goes to the same holder as it is closed

A lease is renewed while a delivery runs. Its holder lets go of what it could not renew ``skew_s``
before the end, by its own clock: clocks may differ by that much without two deliveries at once.
Whoever lost a lane all the same finds out by its write, which changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from services.chassis.clock import Clock
from services.chassis.errors import DomainError
from services.chassis.failpoints import failpoint
from services.chassis.outbox_rows import CHANNEL, OutboxRow, row_of
from services.chassis.outbox_statements import RowStatements
from services.chassis.store.port import Row, Store, Tx
from services.chassis.store.statement import Statement

# A stop does not wait longer for the store to take leases back; they run out by themselves.
RELEASE_LIMIT_S = 5.0

_CLAIMED = failpoint("outbox.claimed")
_RENEWED = failpoint("outbox.renewed")
_RELEASED = failpoint("outbox.released")

_LOG = logging.getLogger(__name__)

Heads: TypeAlias = tuple[list[OutboxRow], datetime | None]
Lose: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LeaseTuning:
    """Numbers of leases; a sender that is alone has none.

    Attributes:
        lease_s: From a claim or a renewal to the end; renewed when a third of it has passed.
        skew_s: How much the clocks of two processes may differ.
        jitter_s: Bound of the random wait after the end of another's lease: those who survive a
            sender do not all come at once.
    """

    lease_s: float = 30.0
    skew_s: float = 5.0
    jitter_s: float = 1.0

    @property
    def look_every_s(self) -> float:
        return self.lease_s / 6

    def is_stale(self, age_s: float) -> bool:
        """Whether a lease given ``age_s`` ago has to be renewed."""
        return age_s >= self.lease_s / 3

    def is_lost(self, age_s: float) -> bool:
        """Whether its holder lets go now, since the next look would come too late."""
        return age_s + self.look_every_s > self.lease_s - self.skew_s


@dataclass(frozen=True, slots=True)
class Grant:
    """What marks the row that becomes the head of a lane.

    Attributes:
        since_s: Monotonic instant from which a lease counts: before the write that gives it.
    """

    holder: str
    due_at: datetime
    since_s: float


class Claims(Protocol):
    """How a sender comes to serve lanes, and how it stops.

    Attributes:
        holder: What a row says while this sender, and no other, may end it.
    """

    holder: str

    def begin(self) -> None:
        """Become a holder that no former write of this process can be taken for."""

    async def take(self, free: int, busy: Collection[str]) -> Heads:
        """Up to ``free`` heads to serve, and when another falls due.

        A lane that is ``busy`` comes up again only when its lease was lost meanwhile.
        """

    def grant(self, lane: str, *, goes_on: bool) -> Grant:
        """The mark of the next row of ``lane``: still this sender's, or anybody's."""

    def granted(self, lane: str, grant: Grant) -> None:
        """A row with ``grant`` is the head of ``lane`` now."""

    def left(self, lane: str) -> None:
        """Nothing of ``lane`` is this sender's any more."""

    async def leave(self, lane: str) -> None:
        """Give ``lane`` back if something of it may still be this sender's."""

    async def keep(self, lose: Lose) -> None:
        """Renew for ever; call ``lose`` with each lane that is this sender's no more."""

    async def end(self) -> None:
        """Give everything back."""


class Alone:
    """``Claims`` of the only sender there can be."""

    holder = ""

    def __init__(self, store: Store, sql: RowStatements, clock: Clock) -> None:
        self._store = store
        self._sql = sql
        self._clock = clock

    def begin(self) -> None:
        pass

    async def take(self, free: int, busy: Collection[str]) -> Heads:
        # Heads that are busy are due as well; among this many, enough are not.
        now, limit = self._clock.now(), free + len(busy)

        def look(tx: Tx) -> Heads:
            heads = [row_of(row) for row in tx.all(self._sql.due, now=now, limit=limit)]
            return heads, tx.all(self._sql.next_due, now=now)[0].due_at

        heads, next_due_at = await self._store.read(look)
        return [row for row in heads if row.lane not in busy][:free], next_due_at

    def grant(self, lane: str, *, goes_on: bool) -> Grant:
        return Grant("", self._clock.now(), 0.0)

    def granted(self, lane: str, grant: Grant) -> None:
        pass

    def left(self, lane: str) -> None:
        pass

    async def leave(self, lane: str) -> None:
        pass

    async def keep(self, lose: Lose) -> None:
        pass

    async def end(self) -> None:
        pass


@dataclass(slots=True)
class _Lease:
    """A lane that is held, as far as this process knows.

    Attributes:
        ending: A write that ends its row is under way, after which the lease is another one.
    """

    since_s: float
    ending: bool = False


class Leased:
    """``Claims`` of one sender among several."""

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
        self.holder = f"{self._rng.getrandbits(64):016x}"

    async def take(self, free: int, busy: Collection[str]) -> Heads:
        if free <= 0:
            return [], None
        now, mark = self._clock.now(), self._mark()

        def claim(tx: Tx) -> tuple[list[OutboxRow], Row | None]:
            rows = tx.all(
                self._sql.claim, now=now, limit=free, to_holder=mark.holder, to_due_at=mark.due_at
            )
            next_claim = tx.one(self._sql.next_claim, now=now, holder=mark.holder)
            return [row_of(row) for row in rows], next_claim

        # Shielded, so that a stop can wait for what was claimed, and give it back.
        self._taking = asyncio.ensure_future(self._store.write(claim))
        heads, next_claim = await asyncio.shield(self._taking)
        _CLAIMED.reach()
        for row in heads:
            self.granted(row.lane, mark)
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

    def grant(self, lane: str, *, goes_on: bool) -> Grant:
        if lane in self._leases:
            self._leases[lane].ending = True
        return self._mark() if goes_on else Grant("", self._clock.now(), 0.0)

    def granted(self, lane: str, grant: Grant) -> None:
        if grant.holder:
            self._leases[lane] = _Lease(grant.since_s)
        else:
            self.left(lane)

    def left(self, lane: str) -> None:
        self._leases.pop(lane, None)

    async def leave(self, lane: str) -> None:
        if self._leases.pop(lane, None) is not None:
            await self._release(self._sql.release, of_lane=lane)

    async def keep(self, lose: Lose) -> None:
        try:
            while True:
                await self._clock.sleep(self._tuning.look_every_s)
                self._let_go(lose)
                # Apart from this loop: a store that hangs must not keep it from letting go.
                if self._renewing is None or self._renewing.done():
                    self._renewing = asyncio.ensure_future(self._renew(lose))
        finally:
            if self._renewing is not None:
                self._renewing.cancel()
                await asyncio.gather(self._renewing, return_exceptions=True)

    def _let_go(self, lose: Lose) -> None:
        now_s = self._clock.monotonic_s()
        for lane, lease in list(self._leases.items()):
            if self._tuning.is_lost(now_s - lease.since_s):
                self._lost(lane, lose)

    async def _renew(self, lose: Lose) -> None:
        mark = self._mark()
        stale = {
            lane: lease
            for lane, lease in self._leases.items()
            if self._tuning.is_stale(mark.since_s - lease.since_s) and not lease.ending
        }
        if not stale:
            return
        try:
            renewed = await self._store.write(lambda tx: self._renew_in(tx, stale, mark))
            _RENEWED.reach()
        except DomainError:
            _LOG.warning("outbox leases not renewed", extra={"lanes": len(stale)}, exc_info=True)
            return
        for lane, lease in stale.items():
            if self._leases.get(lane) is not lease or lease.ending:
                continue  # the lane has moved on meanwhile
            if lane in renewed:
                lease.since_s = mark.since_s
            else:
                self._lost(lane, lose)

    def _renew_in(self, tx: Tx, lanes: Collection[str], mark: Grant) -> set[str]:
        to = {"of_holder": mark.holder, "to_due_at": mark.due_at}
        return {lane for lane in lanes if tx.run(self._sql.renew, of_lane=lane, **to)}

    def _lost(self, lane: str, lose: Lose) -> None:
        _LOG.warning("outbox lane lost", extra={"lane": lane})
        self.left(lane)
        lose(lane)

    async def end(self) -> None:
        self._leases.clear()
        try:
            async with asyncio.timeout(RELEASE_LIMIT_S):
                if self._taking is not None:
                    await asyncio.wait({self._taking})
                await self._release(self._sql.release_all)
        except TimeoutError:
            _LOG.warning("outbox leases not given back in time")

    async def _release(self, statement: Statement, **which: object) -> None:
        now, holder = self._clock.now(), self.holder

        def release(tx: Tx) -> None:
            if tx.run(statement, now=now, of_holder=holder, **which):
                tx.ring(CHANNEL)

        try:
            await self._store.write(release)
            _RELEASED.reach()
        except DomainError:
            _LOG.warning("outbox lease not given back", exc_info=True)
