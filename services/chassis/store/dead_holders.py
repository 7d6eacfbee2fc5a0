"""Who of the processes that share a database has died.

Each process holds a lock of its server session while it lives; ``Store.instance`` names it. A
process writes this name into the leases that it takes. The server frees the lock at once when the
process is killed, and keeps it while the process is frozen. So whoever finds the lock of a holder
free releases its leases, and need not wait until they expire.

The lock proves nothing about a process that was cut off from the server alone: what it writes
under a lease that it lost is refused by the fence of that lease, as after an expiry.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Protocol

from sqlalchemy import text

from services.chassis.clock import Clock
from services.chassis.errors import DomainError
from services.chassis.store.columns import Integer
from services.chassis.store.port import Store, Tx
from services.chassis.store.statement import statement

LOOK_EVERY_S = 0.4
# A connection that was lost is made again in a shorter time.
FREE_S = 0.8
# After an outage of the server, which frees every lock, the others need time to take theirs again.
TRUST_AFTER_S = 10.0
# Holders are looked up this often if no process has gone.
_HOLDERS_EVERY_S = 5.0

_NAME = re.compile(r"lock-([0-9a-f]{8})(?:\.[0-9a-f]+)?")
# What the sessions of all processes of one schema lock, each with its own key.
_GROUP = "hashtext('runyard/' || current_schema())"
HOLD = f"SELECT pg_advisory_lock_shared({_GROUP}, %s)"
HELD = statement(
    text(
        "SELECT DISTINCT CAST(objid AS bigint) AS key FROM pg_locks "  # noqa: S608  # a constant
        "WHERE locktype = 'advisory' AND objsubid = 2 AND granted "
        f"AND classid = CAST({_GROUP} AS oid) "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).columns(key=Integer)
)

_LOG = logging.getLogger(__name__)


def instance_name(key: int) -> str:
    """The name of the process that holds the lock ``key``, a positive number of 31 bits."""
    return f"lock-{key:08x}"


def key_of(holder: str) -> int | None:
    """The lock of a holder; None for one whose death no lock can prove."""
    found = _NAME.fullmatch(holder)
    return None if found is None else int(found[1], 16)


class Leases(Protocol):
    """The leases of one table."""

    def holders(self, tx: Tx) -> Iterable[str]:
        """Every holder of a lease: the name of an instance, alone or before a point."""

    def release(self, tx: Tx, holder: str) -> None:
        """End the leases of ``holder``, except for rows that somebody has locked."""


class DeadHolders:
    """Releases the leases of processes that have died.

    Args:
        leases: Those of every table in which processes name themselves.
    """

    def __init__(self, store: Store, clock: Clock, leases: Sequence[Leases]) -> None:
        self._store = store
        self._clock = clock
        self._leases = leases
        self._own = key_of(store.instance)
        self._was_held = False
        self._trust_from_s = clock.monotonic_s()
        self._held: frozenset[int] = frozenset()
        self._look_closely_until_s = 0.0
        self._holders_at_s = clock.monotonic_s()
        self._free_since_s: dict[str, float] = {}

    async def run(self) -> None:
        """Look until cancelled; return at once if no other process can use the store."""
        while not self._store.sole_owner:
            try:
                await self.look()
            except DomainError as error:
                _LOG.warning("dead processes not looked for", exc_info=error)
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Release the leases of holders whose lock earlier looks found free too.

        Raises:
            StoreUnavailableError: The database is away.
        """
        try:
            held = frozenset(row.key for row in await self._store.read(lambda tx: tx.all(HELD)))
        except DomainError:
            self._distrust()
            raise
        now_s = self._clock.monotonic_s()
        if self._own not in held:
            self._distrust()
            return
        self._was_held = True
        if self._held - held:
            self._look_closely_until_s = now_s + _HOLDERS_EVERY_S
        self._held = held
        if now_s < self._trust_from_s or not self._is_due(now_s):
            return
        self._holders_at_s = now_s + _HOLDERS_EVERY_S
        for holder in await self._free(held, now_s):
            await self._release(holder)

    def _distrust(self) -> None:
        """Take a free lock for no proof: the server was away, or this process from it."""
        self._free_since_s.clear()
        if self._was_held:
            self._trust_from_s = self._clock.monotonic_s() + TRUST_AFTER_S

    def _is_due(self, now_s: float) -> bool:
        return now_s < self._look_closely_until_s or now_s >= self._holders_at_s

    async def _free(self, held: Collection[int], now_s: float) -> list[str]:
        """Holders whose lock has been free for ``FREE_S``."""

        def holders(tx: Tx) -> set[str]:
            return {holder for each in self._leases for holder in each.holders(tx)}

        named = await self._store.read(holders)
        free = [each for each in named if (key := key_of(each)) is not None and key not in held]
        self._free_since_s = {each: self._free_since_s.get(each, now_s) for each in free}
        if free:
            self._look_closely_until_s = now_s + _HOLDERS_EVERY_S
        return [each for each, since_s in self._free_since_s.items() if now_s - since_s >= FREE_S]

    async def _release(self, holder: str) -> None:
        for leases in self._leases:
            try:
                await self._store.write(partial(_release_in, leases, holder))
            except DomainError as error:
                _LOG.warning("leases not released", extra={"holder": holder}, exc_info=error)
                return
        _LOG.info("leases of a dead process released", extra={"holder": holder})


def _release_in(leases: Leases, holder: str, tx: Tx) -> None:
    leases.release(tx, holder)
