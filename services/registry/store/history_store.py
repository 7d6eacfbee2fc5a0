"""The part of the adapter that is about the past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from services.chassis.store.port import Row, Tx
from services.registry.core.history_ports import (
    ChangeKey,
    Entry,
    PublishedVersion,
    SizedChange,
    Span,
    VersionFilter,
)
from services.registry.core.model import Kind, Ref
from services.registry.core.ports import Sized
from services.registry.store import history_statements as sql
from services.registry.store import statements
from services.registry.store.rows import head_of, page_params, ref_of, sized_of

_ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


class SqlHistoryReads:
    """Reads of ``HistoryReads`` on one transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def published(
        self, which: VersionFilter, newest: int, limit: int
    ) -> Sequence[PublishedVersion]:
        rows = self._tx.all(sql.PUBLISHED, limit=limit, **_filter(which, newest))
        return [_published(row) for row in rows]

    def published_first(self, limit: int) -> Sequence[PublishedVersion]:
        return [_published(row) for row in self._tx.all(sql.PUBLISHED_FIRST, limit=limit)]

    def unhashed(self, limit: int) -> Sequence[PublishedVersion]:
        return [_published(row) for row in self._tx.all(sql.UNHASHED, limit=limit)]

    def lineage(self, version: int) -> str | None:
        row = self._tx.one(sql.LINEAGE, version=version)
        return row.lineage if row else None

    def entries(self, span: Span) -> Sequence[Entry]:
        rows = self._tx.all(sql.ENTRIES, oldest=span.oldest, newest=span.newest)
        return list(map(Entry._make, rows))

    def differing(self, older: int, newer: int, after: Ref | None, limit: int) -> Sequence[Sized]:
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
        return _newest(brought, self._tx.all(sql.REMOVED_IN, **params), limit)

    def changes_of(
        self, ref: Ref, which: VersionFilter, newest: int, limit: int
    ) -> Sequence[SizedChange]:
        params = {"kind": ref.kind, "id": ref.id, "limit": limit, **_filter(which, newest)}
        brought = self._tx.all(sql.BROUGHT_OF, **params)
        return _newest(brought, self._tx.all(sql.REMOVED_OF, **params), limit)


class SqlHistoryWrites:
    """Writes of ``HistoryTx`` on one transaction."""

    _tx: Tx

    def keep_hashes(self, hashes: Mapping[int, bytes]) -> None:
        # In one order for everyone: two replicas must not wait for each other.
        self._tx.run_many(
            sql.KEEP_HASH, [{"of_version": one, "hash": hashes[one]} for one in sorted(hashes)]
        )

    def retire(self, oldest_version: int) -> None:
        self._tx.run(sql.MOVE_OLDEST, oldest=oldest_version)
        self._tx.run(sql.DROP_VERSIONS, oldest=oldest_version)

    def sweep(self, limit: int) -> int:
        oldest = head_of(self._tx.one(statements.HEAD)).oldest_version
        return self._tx.run(sql.SWEEP, oldest=oldest, limit=limit)


def _filter(which: VersionFilter, newest: int) -> dict[str, object]:
    first, last = _ALWAYS
    return {
        "newest": newest,
        "actor": which.actor,
        "since": which.since or first,
        "until": which.until or last,
    }


def _published(row: Row) -> PublishedVersion:
    return PublishedVersion(
        version=row.version,
        at=row.created_at,
        by=row.created_by,
        method=row.method,
        request_id=row.request_id,
        change_count=row.change_count,
        restored_from=row.restored_from,
        content_hash=row.content_hash,
        lineage=row.lineage,
    )


def _newest(brought: Sequence[Row], removed: Sequence[Row], limit: int) -> Sequence[SizedChange]:
    found = [
        SizedChange(ChangeKey(row.version, ref_of(row)), row.size_bytes)
        for row in [*brought, *removed]
    ]
    return sorted(found, key=lambda change: change.key, reverse=True)[:limit]
