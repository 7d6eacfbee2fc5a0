"""The adapter of ``Reads``, ``Tx`` and ``Store`` over the chassis store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TypeVar

from services.chassis.clock import Clock
from services.chassis.store import port
from services.chassis.store.idempotency import TxRequestLog
from services.registry.core.history.hashing import content_hashes
from services.registry.core.ports import Reads, Tx
from services.registry.core.refs import KINDS_IN, Kind, Ref, Space, Target
from services.registry.core.stored import (
    ChangeKey,
    Entry,
    Existing,
    Head,
    ListQuery,
    Publication,
    PublishedVersion,
    ReferenceFacts,
    ReferenceQuery,
    SizedChange,
    SizedRef,
    Span,
    Stored,
    VersionFilter,
    next_lineage,
)
from services.registry.store import statements as sql
from services.registry.store.rows import (
    changes_of,
    edge_rows,
    filter_params,
    head_of,
    page_params,
    published_of,
    ref_of,
    resource_row,
    sized_of,
    stored_of,
    version_row,
)
from services.registry.store.tables import request as request_table

T = TypeVar("T")

# Notified for every version; watchers listen.
SNAPSHOT_CHANNEL = "snapshot"

_FIRST_VERSION = 1
FEW = 8
# Fills the last chunk; a real name would have its rows twice.
_NO_NAME = (0, "")


class SqlReads:
    """``Reads`` on one transaction."""

    def __init__(self, tx: port.Tx) -> None:
        self._tx = tx

    def head(self) -> Head:
        return head_of(self._tx.one(sql.HEAD))

    def existing(self, refs: Iterable[Ref]) -> Mapping[Ref, Existing]:
        rows = _looked_up(self._tx, sql.EXISTING, refs)
        return {ref_of(row): Existing(row.content_hash, row.apply_set) for row in rows}

    def in_apply_set(self, apply_set: str) -> Sequence[Ref]:
        return [ref_of(row) for row in self._tx.all(sql.MARKED, apply_set=apply_set)]

    def reference_facts(self, query: ReferenceQuery) -> ReferenceFacts:
        return ReferenceFacts(self._kinds(query.targets), self._users(query.vacated))

    def dependents(self, targets: Iterable[Target]) -> Collection[Ref]:
        return {ref for users in self._users(targets).values() for ref in users}

    def _kinds(self, targets: Iterable[Target]) -> Mapping[Target, frozenset[Kind]]:
        existing = self.existing(
            Ref(kind, target.id) for target in targets for kind in KINDS_IN[target.space]
        )
        found: dict[Target, set[Kind]] = {}
        for ref in existing:
            found.setdefault(ref.target, set()).add(ref.kind)
        return {target: frozenset(kinds) for target, kinds in found.items()}

    def _users(self, targets: Iterable[Target]) -> Mapping[Target, Sequence[Ref]]:
        """The resources that refer to each target; targets without any are left out."""
        found: dict[Target, list[Ref]] = {}
        for row in _looked_up(self._tx, sql.DEPENDENTS, targets):
            target = Target(Space(row.space), row.target_id)
            found.setdefault(target, []).append(ref_of(row))
        return found

    def stored(self, ref: Ref) -> Stored | None:
        row = self._tx.one(sql.STORED, kind=ref.kind, id=ref.id)
        return stored_of(row) if row else None

    def stored_at(self, ref: Ref, version: int) -> Stored | None:
        row = self._tx.one(sql.STORED_AT, kind=ref.kind, id=ref.id, to_version=version)
        return stored_of(row) if row else None

    def listed(self, query: ListQuery) -> Sequence[SizedRef]:
        rows = self._tx.all(
            sql.LISTED,
            kind=query.kind or 0,
            apply_set=query.apply_set,
            **page_params(query.after, query.limit),
        )
        return [sized_of(row) for row in rows]

    def changed(
        self, from_version: int, to_version: int, after: Ref | None, limit: int
    ) -> Sequence[SizedRef]:
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

    def published(
        self, which: VersionFilter, newest: int, limit: int
    ) -> Sequence[PublishedVersion]:
        rows = self._tx.all(sql.PUBLISHED, limit=limit, **filter_params(which, newest))
        return [published_of(row) for row in rows]

    def oldest_published(self, limit: int) -> Sequence[PublishedVersion]:
        return [published_of(row) for row in self._tx.all(sql.PUBLISHED_FIRST, limit=limit)]

    def unhashed(self, limit: int) -> Sequence[PublishedVersion]:
        return [published_of(row) for row in self._tx.all(sql.UNHASHED, limit=limit)]

    def lineage(self, version: int) -> str | None:
        row = self._tx.one(sql.LINEAGE, version=version)
        return row.lineage if row else None

    def entries(self, span: Span) -> Sequence[Entry]:
        rows = self._tx.all(sql.ENTRIES, oldest=span.oldest, newest=span.newest)
        return list(map(Entry._make, rows))

    def differing(
        self, older: int, newer: int, after: Ref | None, limit: int
    ) -> Sequence[SizedRef]:
        page = page_params(after, limit)
        return [
            sized_of(row) for row in self._tx.all(sql.DIFFERING, oldest=older, newest=newer, **page)
        ]

    def changes_in(
        self, span: Span, kind: Kind | None, before: ChangeKey, limit: int
    ) -> Sequence[SizedChange]:
        params = {
            "oldest": span.oldest,
            "newest": span.newest,
            "kind": kind or 0,
            "before_version": before.version,
            "before_kind": before.ref.kind,
            "before_id": before.ref.id,
            "limit": limit,
        }
        brought = self._tx.all(sql.BROUGHT_IN, **params)
        return changes_of(brought, self._tx.all(sql.REMOVED_IN, **params), limit)

    def changes_of(
        self, ref: Ref, which: VersionFilter, newest: int, limit: int
    ) -> Sequence[SizedChange]:
        params = {"kind": ref.kind, "id": ref.id, "limit": limit, **filter_params(which, newest)}
        brought = self._tx.all(sql.BROUGHT_OF, **params)
        return changes_of(brought, self._tx.all(sql.REMOVED_OF, **params), limit)


class SqlTx(SqlReads, TxRequestLog):
    """``Tx`` on one transaction."""

    def __init__(self, tx: port.Tx, now: datetime) -> None:
        SqlReads.__init__(self, tx)
        TxRequestLog.__init__(self, tx, request_table, now)

    def lock_head(self) -> Head:
        return head_of(self._tx.one(sql.LOCK_HEAD))

    def publish(self, publication: Publication) -> None:
        upserts = publication.upserts
        self._end([*publication.removed, *(each.ref for each in upserts)], publication.version)
        self._tx.run_many(sql.ADD_RESOURCE, [resource_row(each, publication) for each in upserts])
        edges = [edge for each in upserts for edge in edge_rows(each)]
        self._tx.run_many(sql.ADD_REFERENCE, edges)
        lineage = next_lineage(self.head().lineage, publication)
        self._tx.run(sql.MOVE_HEAD, to_version=publication.version, to_lineage=lineage)
        self._tx.run(sql.ADD_VERSION, **version_row(publication.recorded(lineage)))
        self._tx.notify(SNAPSHOT_CHANNEL)

    def adopt(self, refs: Collection[Ref], apply_set: str) -> None:
        rows = [{"kind": ref.kind, "id": ref.id, "new_apply_set": apply_set} for ref in refs]
        self._tx.run_many(sql.ADOPT, rows)

    def save_hashes(self, hashes: Mapping[int, bytes]) -> None:
        # In one order for everyone: two replicas must not wait for each other.
        self._tx.run_many(
            sql.KEEP_HASH, [{"of_version": one, "hash": hashes[one]} for one in sorted(hashes)]
        )

    def retire(self, oldest_version: int) -> None:
        self._tx.run(sql.MOVE_OLDEST, oldest=oldest_version)
        self._tx.run(sql.DROP_VERSIONS, oldest=oldest_version)

    def sweep(self, limit: int) -> int:
        oldest = self.head().oldest_version
        return self._tx.changed(sql.SWEEP, oldest=oldest, limit=limit)

    def _end(self, refs: Collection[Ref], version: int) -> None:
        named = [{"kind": ref.kind, "id": ref.id} for ref in refs]
        self._tx.run_many(sql.DROP_REFERENCES, named)
        self._tx.run_many(sql.END_RESOURCE, [{**each, "to_version": version} for each in named])


class SqlStore:
    """``Store`` on a store of the chassis."""

    def __init__(self, store: port.Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def initialise(self, incarnation: str) -> Head:
        """The head; on the first start of a database make it version 1, empty."""
        now = self._clock.now()
        return await self._store.write(lambda tx: _initialise(tx, incarnation, now))

    async def write(self, fn: Callable[[Tx], T]) -> T:
        now = self._clock.now()
        return await self._store.write(lambda tx: fn(SqlTx(tx, now)))

    async def read(self, fn: Callable[[Reads], T]) -> T:
        return await self._store.read(lambda tx: fn(SqlReads(tx)))


def _initialise(tx: port.Tx, incarnation: str, now: datetime) -> Head:
    # Replicas may start together on an empty database, where there is no row to lock yet.
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
    empty = PublishedVersion(head.version, now, "", "", "", 0, None, None, head.lineage)
    tx.run(sql.ADD_VERSION, **version_row(empty))
    return head


def _looked_up(
    tx: port.Tx, lookup: sql.Lookup, names: Iterable[tuple[int, str]]
) -> Iterator[port.Row]:
    """Yield the rows of every name once, in no order; a name is a number and an id."""
    # Sorted: neighbours lie on the same pages of an index.
    asked = sorted(set(names))
    if len(asked) <= FEW:
        for number, id_ in asked:
            yield from tx.all(lookup.about_one, number=int(number), id=id_)
        return
    left = iter(asked)
    while chunk := list(islice(left, sql.CHUNK)):
        yield from tx.all(lookup.about_many, **_params(chunk))


def _params(chunk: list[tuple[int, str]]) -> dict[str, object]:
    params: dict[str, object] = {}
    filled = chunk + [_NO_NAME] * (sql.CHUNK - len(chunk))
    for n, (number, id_) in enumerate(filled):
        params |= {f"number_{n}": int(number), f"id_{n}": id_}
    return params
