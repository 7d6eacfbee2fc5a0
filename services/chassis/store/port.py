"""What a service sees of its database, whatever the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from services.chassis.store.statement import Statement

T = TypeVar("T")

# A named tuple with one field per selected column; typed where the adapter unpacks it.
Row = Any


class Tx(Protocol):
    """A transaction in progress: synchronous, used only inside its closure."""

    def one(self, statement: Statement, /, **params: object) -> Row | None:
        """The first row, or None."""

    def all(self, statement: Statement, /, **params: object) -> list[Row]:
        """Every row."""

    def run(self, statement: Statement, /, **params: object) -> int:
        """Execute; answer the number of rows it touched."""

    def run_many(self, statement: Statement, rows: Iterable[Mapping[str, object]]) -> None:
        """Execute once per mapping of parameters."""

    def ring(self, channel: str) -> None:
        """Wake the followers of ``channel`` once this transaction is committed; else never."""

    def lock(self, name: str) -> None:
        """Wait until no other transaction holds ``name``, and hold it to the end of this one.

        For what has no row to lock yet. Names and rows have to be taken in one order by everybody
        who takes both: the key of a request, the row of an aggregate, the lane of an outbox.
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
        """Whether owning the store proves every former owner dead.

        True: reclaim what they held at once. False: their leases have to run out.
        """

    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run ``fn`` in a transaction and return its result once that is durable.

        ``fn`` must be re-runnable: no I/O, no captured mutation; it reads what it decides on.
        If it raises, only its own effects are undone. A cancelled caller does not undo a commit:
        it learns the outcome by repeating its request id.

        Raises:
            StoreUnavailableError: The commit failed; nothing was applied.
        """

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run ``fn`` on a consistent snapshot, at most 2 s; for hot reads."""

    async def fetch(self, statement: Statement, /, **params: object) -> list[Row]:
        """All rows of one statement; for lists, exports and admin reads."""
