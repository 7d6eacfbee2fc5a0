"""The last good copy of a snapshot of the registry, in the store of the service that reads it.

One row of opaque bytes per resource: a change writes only the resources that changed. Declare the
tables with ``kept_snapshot_tables`` and create the same ones in a migration:

    kept_snapshot  only=1 | version | incarnation
    kept_resource  kind, id | body
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from sqlalchemy import Column, MetaData, Table, bindparam, select

from services.chassis.errors import StoreUnavailableError
from services.chassis.store.columns import Integer, LargeBinary, Text
from services.chassis.store.port import Store, Tx
from services.chassis.store.statement import Statement, UpsertInsert, statement, upsert

# Kind and id of a resource.
Key: TypeAlias = tuple[int, str]
# Version and incarnation of a copy.
_Head: TypeAlias = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Kept:
    """The whole snapshot as last saved.

    Attributes:
        incarnation: Opaque; distinguishes versions with the same number.
    """

    version: int
    incarnation: str
    resources: Mapping[Key, bytes]


@dataclass(frozen=True, slots=True)
class KeptChange:
    """The difference between the kept snapshot and a newer one.

    Attributes:
        whole: ``upserts`` is the entire snapshot; all kept resources are deleted first.
    """

    version: int
    incarnation: str
    whole: bool
    upserts: Mapping[Key, bytes]
    removed: Iterable[Key] = ()


class KeptSnapshot(Protocol):
    async def load(self) -> Kept | None:
        """Return the copy, or None if none was ever saved."""

    async def save(self, change: KeptChange) -> None:
        """Apply ``change`` to the copy, in one transaction.

        Raises:
            StoreUnavailableError: Nothing was saved, for example because another process that
                shares the copy has saved a different version. Save a whole snapshot next.
        """


@dataclass(frozen=True, slots=True)
class KeptTables:
    """The tables and their statements; ``kept_snapshot_tables`` creates it."""

    snapshot: Table
    resource: Table
    find: Statement = field(init=False)
    all: Statement = field(init=False)
    move: Statement = field(init=False)
    put: Statement = field(init=False)
    drop: Statement = field(init=False)
    clear: Statement = field(init=False)

    def __post_init__(self) -> None:
        s, r = self.snapshot.c, self.resource.c
        for name, clause in {
            "find": select(s.version, s.incarnation),
            "all": select(r.kind, r.id, r.body),
            "move": _replacing(self.snapshot, "version", "incarnation"),
            "put": _replacing(self.resource, "body"),
            "drop": self.resource.delete().where(
                r.kind == bindparam("kind"), r.id == bindparam("id")
            ),
            "clear": self.resource.delete(),
        }.items():
            object.__setattr__(self, name, statement(clause))


def _replacing(table: Table, *columns: str) -> UpsertInsert:
    put = upsert(table)
    return put.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={name: put.excluded[name] for name in columns},
    )


def kept_snapshot_tables(metadata: MetaData) -> KeptTables:
    """Declare the tables; a migration of the service creates them."""
    snapshot = Table(
        "kept_snapshot",
        metadata,
        Column("only", Integer, primary_key=True, autoincrement=False),
        Column("version", Integer, nullable=False),
        Column("incarnation", Text, nullable=False),
        sqlite_strict=True,
    )
    resource = Table(
        "kept_resource",
        metadata,
        Column("kind", Integer, primary_key=True, autoincrement=False),
        Column("id", Text, primary_key=True),
        Column("body", LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    return KeptTables(snapshot, resource)


class SqlKeptSnapshot:
    """``KeptSnapshot`` in a service's store; the replicas of the service share one copy.

    The first replica that saves a version writes it; the others find it saved. A change that is
    based on another version than the saved one would mix the two, and is refused.
    """

    def __init__(self, store: Store, tables: KeptTables) -> None:
        self._store = store
        self._tables = tables
        self._seen: _Head | None = None

    async def load(self) -> Kept | None:
        kept = await self._store.read(self._load)
        self._seen = None if kept is None else (kept.version, kept.incarnation)
        return kept

    async def save(self, change: KeptChange) -> None:
        seen = self._seen
        await self._store.write(lambda tx: self._save(tx, change, seen))
        self._seen = (change.version, change.incarnation)

    def _load(self, tx: Tx) -> Kept | None:
        head = tx.one(self._tables.find)
        if head is None:
            return None
        rows = tx.all(self._tables.all)
        return Kept(head.version, head.incarnation, {(row.kind, row.id): row.body for row in rows})

    def _save(self, tx: Tx, change: KeptChange, seen: _Head | None) -> None:
        tx.lock("kept_snapshot")
        found = tx.one(self._tables.find)
        head = None if found is None else (found.version, found.incarnation)
        if head == (change.version, change.incarnation) and head != seen:
            return  # another process has saved this version
        if not change.whole and head != seen:
            raise StoreUnavailableError("another process has saved another version")
        self._write(tx, change)

    def _write(self, tx: Tx, change: KeptChange) -> None:
        tables = self._tables
        if change.whole:
            tx.run(tables.clear)
        tx.run_many(tables.drop, [{"kind": kind, "id": id_} for kind, id_ in change.removed])
        tx.run_many(
            tables.put,
            [
                {"kind": kind, "id": id_, "body": body}
                for (kind, id_), body in change.upserts.items()
            ],
        )
        tx.run(tables.move, only=1, version=change.version, incarnation=change.incarnation)
