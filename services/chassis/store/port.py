"""The interface of a store to its service, the same on both engines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from services.chassis.store.statement import Statement

T = TypeVar("T")

# A named tuple with one field per selected column.
Row = Any


class Tx(Protocol):
    """An open transaction: synchronous, usable only inside its closure."""

    def one(self, statement: Statement, /, **params: object) -> Row | None:
        """Return the first row, or None."""

    def all(self, statement: Statement, /, **params: object) -> list[Row]:
        """Return every row."""

    def run(self, statement: Statement, /, **params: object) -> None:
        """Execute ``statement``."""

    def changed(self, statement: Statement, /, **params: object) -> int:
        """Execute ``statement``; return how many rows it inserted, updated or deleted."""

    def run_many(self, statement: Statement, rows: Iterable[Mapping[str, object]]) -> None:
        """Execute ``statement`` once for each mapping of parameters.

        Raises:
            AbandonedError: This is the work of a call that has ended.
        """

    def notify(self, channel: str) -> None:
        """Wake the followers of ``channel`` if and when this transaction commits."""

    def lock(self, name: str) -> None:
        """Wait until no other transaction holds ``name``, and hold it until this one ends.

        For things that have no row to lock yet. To avoid deadlocks, take locks in this order: the
        key of a request, the row of an aggregate, the lane of an outbox.
        """


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Facts for ``GetServerInfo``: ``sqlite``, ``3.40.1``, ``full``."""

    engine: str
    version: str
    durability: str


class Store(Protocol):
    @property
    def info(self) -> StoreInfo: ...

    @property
    def sole_owner(self) -> bool:
        """Whether no other process can use the store.

        True: former owners are dead, so reclaim leases at once. False: wait until they expire,
        or until ``dead_holders.DeadHolders`` has found the holder dead.
        """

    @property
    def unavailable_cause(self) -> str:
        """Why writes fail at present, as the ``cause`` of their errors; empty while they do not.

        Asked often: no I/O.
        """

    @property
    def instance(self) -> str:
        """The name of this process in its leases; empty if it is the sole owner."""

    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run ``fn`` in a transaction; return its result once the commit is durable.

        ``fn`` may run several times: no I/O, no mutation of captured objects, and it reads what it
        decides on. If it raises, only its own effects are undone. Cancelling the caller does not
        undo a commit: the caller learns the outcome by repeating its request id.

        Raises:
            StoreUnavailableError: The commit failed; nothing was applied.
            DatabaseLostError: The database is damaged or gone; nothing is written any more.
        """

    async def write_first(self, fn: Callable[[Tx], T]) -> T:
        """As ``write``, ahead of the closures that wait; for short ones that must not be late."""

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run ``fn`` on a consistent snapshot, for at most 2 s; for frequent, short reads."""

    async def fetch(self, statement: Statement, /, **params: object) -> list[Row]:
        """Return all rows of one statement; for lists, exports and admin reads."""

    async def scrub(self) -> bool:
        """Remove what was deleted from the files that this process alone writes.

        Returns:
            False if readers prevented it: it stays in a file until that is overwritten.
        """
