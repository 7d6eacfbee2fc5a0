"""The adapter of ``core.ports`` over the chassis store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from services.chassis.clock import Clock
from services.chassis.idempotency import TxRequestLog
from services.chassis.store.port import Store, Tx
from services.registry.core.applying import Held
from services.registry.core.hashing import content_hashes
from services.registry.core.history_ports import HistoryReads, HistoryTx
from services.registry.core.lineage import next_lineage
from services.registry.core.model import Kind, Ref, Space, Target
from services.registry.core.ports import (
    Head,
    ListQuery,
    Publication,
    Sized,
    Stored,
    Written,
)
from services.registry.core.validating import Surroundings, Wanted
from services.registry.store import statements as sql
from services.registry.store.history_store import SqlHistoryReads, SqlHistoryWrites
from services.registry.store.lookups import DEPENDENTS, HELD
from services.registry.store.rows import head_of, page_params, ref_of, sized_of, stored_of
from services.registry.store.tables import request as request_table

T = TypeVar("T")

# Rung for every version; watchers listen.
SNAPSHOT_CHANNEL = "snapshot"

_FIRST_VERSION = 1


class SqlRegistryReads(SqlHistoryReads):
    """``RegistryReads`` on one transaction."""

    def head(self) -> Head:
        return head_of(self._tx.one(sql.HEAD))

    def held(self, refs: Iterable[Ref]) -> Mapping[Ref, Held]:
        rows = HELD.rows(self._tx, refs)
        return {ref_of(row): Held(row.content_hash, row.apply_set) for row in rows}

    def marked(self, apply_set: str) -> Sequence[Ref]:
        return [ref_of(row) for row in self._tx.all(sql.MARKED, apply_set=apply_set)]

    def surroundings(self, wanted: Wanted) -> Surroundings:
        return Surroundings(self._kinds(wanted.targets), self._users(wanted.vacated))

    def dependents(self, targets: Iterable[Target]) -> Collection[Ref]:
        return {ref for users in self._users(targets).values() for ref in users}

    def _kinds(self, targets: Iterable[Target]) -> Mapping[Target, frozenset[Kind]]:
        held = self.held(
            Ref(kind, target.id)
            for target in targets
            for kind in Kind
            if kind.space is target.space
        )
        found: dict[Target, set[Kind]] = {}
        for ref in held:
            found.setdefault(ref.target, set()).add(ref.kind)
        return {target: frozenset(kinds) for target, kinds in found.items()}

    def _users(self, targets: Iterable[Target]) -> Mapping[Target, Sequence[Ref]]:
        """Who refers to each of them; those to whom nobody does are left out."""
        found: dict[Target, list[Ref]] = {}
        for row in DEPENDENTS.rows(self._tx, targets):
            target = Target(Space(row.space), row.target_id)
            found.setdefault(target, []).append(ref_of(row))
        return found

    def stored(self, ref: Ref) -> Stored | None:
        row = self._tx.one(sql.STORED, kind=ref.kind, id=ref.id)
        return stored_of(row) if row else None

    def stored_at(self, ref: Ref, version: int) -> Stored | None:
        row = self._tx.one(sql.STORED_AT, kind=ref.kind, id=ref.id, to_version=version)
        return stored_of(row) if row else None

    def listed(self, query: ListQuery) -> Sequence[Sized]:
        rows = self._tx.all(
            sql.LISTED,
            kind=query.kind or 0,
            apply_set=query.apply_set,
            **page_params(query.after, query.limit),
        )
        return [sized_of(row) for row in rows]

    def changed(
        self, from_version: int, to_version: int, after: Ref | None, limit: int
    ) -> Sequence[Sized]:
        page = page_params(after, limit)
        if from_version == 0:
            rows = self._tx.all(sql.WHOLE, to_version=to_version, **page)
        else:
            rows = self._tx.all(
                sql.NET_CHANGE, from_version=from_version, to_version=to_version, **page
            )
        return [sized_of(row) for row in rows]

    def snapshot_hash(self, version: int) -> bytes | None:
        row = self._tx.one(sql.FIND_VERSION, version=version)
        if row is None:
            return None
        kept: bytes | None = row.content_hash
        return kept or content_hashes(self, [version])[version]


class SqlRegistryTx(SqlRegistryReads, SqlHistoryWrites, TxRequestLog):
    """``RegistryTx`` on one transaction."""

    def __init__(self, tx: Tx, now: datetime) -> None:
        SqlRegistryReads.__init__(self, tx)
        TxRequestLog.__init__(self, tx, request_table, now)

    def lock_head(self) -> Head:
        return head_of(self._tx.one(sql.LOCK_HEAD))

    def publish(self, publication: Publication) -> None:
        upserts = publication.upserts
        self._end([*publication.removed, *(each.ref for each in upserts)], publication.version)
        self._tx.run_many(sql.ADD_RESOURCE, [_row(each, publication) for each in upserts])
        edges = [edge for each in upserts for edge in _edges(each)]
        self._tx.run_many(sql.ADD_REFERENCE, edges)
        lineage = next_lineage(self.head().lineage, publication)
        self._tx.run(sql.MOVE_HEAD, to_version=publication.version, to_lineage=lineage)
        self._record(publication, lineage)
        self._tx.ring(SNAPSHOT_CHANNEL)

    def adopt(self, refs: Collection[Ref], apply_set: str) -> None:
        rows = [{"kind": ref.kind, "id": ref.id, "new_apply_set": apply_set} for ref in refs]
        self._tx.run_many(sql.ADOPT, rows)

    def _end(self, refs: Collection[Ref], version: int) -> None:
        named = [{"kind": ref.kind, "id": ref.id} for ref in refs]
        self._tx.run_many(sql.DROP_REFERENCES, named)
        self._tx.run_many(sql.END_RESOURCE, [{**each, "to_version": version} for each in named])

    def _record(self, publication: Publication, lineage: str) -> None:
        self._tx.run(
            sql.ADD_VERSION,
            version=publication.version,
            created_at=publication.at,
            created_by=publication.by,
            method=publication.method,
            request_id=publication.request_id,
            change_count=len(publication.upserts) + len(publication.removed),
            restored_from=publication.restored_from,
            content_hash=None,
            lineage=lineage,
        )


class SqlRegistryStore:
    """``RegistryStore`` on a store of the chassis."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def found(self, incarnation: str) -> Head:
        """The head; on the first start of a database make it version 1, empty."""
        now = self._clock.now()
        return await self._store.write(lambda tx: _found(tx, incarnation, now))

    async def write(self, fn: Callable[[HistoryTx], T]) -> T:
        now = self._clock.now()
        return await self._store.write(lambda tx: fn(SqlRegistryTx(tx, now)))

    async def read(self, fn: Callable[[HistoryReads], T]) -> T:
        return await self._store.read(lambda tx: fn(SqlRegistryReads(tx)))


def _row(written: Written, publication: Publication) -> dict[str, object]:
    kind, id_ = written.ref
    return {
        "kind": kind,
        "id": id_,
        "valid_from": publication.version,
        "valid_to": None,
        "content_hash": written.content_hash,
        "apply_set": written.apply_set,
        "updated_at": publication.at,
        "updated_by": publication.by,
        "body_bytes": len(written.body),
        "body": written.body,
    }


def _edges(written: Written) -> list[dict[str, object]]:
    kind, id_ = written.ref
    return [
        {"space": target.space, "target_id": target.id, "kind": kind, "id": id_}
        for target in written.targets
    ]


def _found(tx: Tx, incarnation: str, now: datetime) -> Head:
    # Of replicas that start together on an empty database one founds; there is no row to lock yet.
    tx.lock("head")
    row = tx.one(sql.LOCK_HEAD)
    if row is not None:
        return head_of(row)
    head = Head(_FIRST_VERSION, incarnation, _FIRST_VERSION)
    tx.run(
        sql.ADD_HEAD,
        only=1,
        version=head.version,
        oldest_version=head.oldest_version,
        incarnation=head.incarnation,
        lineage=head.lineage,
    )
    tx.run(
        sql.ADD_VERSION,
        version=head.version,
        created_at=now,
        created_by="",
        method="",
        request_id="",
        change_count=0,
        restored_from=None,
        content_hash=None,
        lineage=head.lineage,
    )
    return head
