"""Rows to what the core knows, and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from services.chassis.store.port import Row
from services.registry.core.refs import Kind, Ref
from services.registry.core.stored import (
    ChangeKey,
    Head,
    Publication,
    PublishedVersion,
    ResourceWrite,
    SizedChange,
    SizedRef,
    Stored,
    VersionFilter,
)

_ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_BEFORE_ALL = Ref(Kind(1), "")


def head_of(row: Row) -> Head:
    return Head(row.version, row.incarnation, row.oldest_version, row.lineage)


def ref_of(row: Row) -> Ref:
    return Ref(Kind(row.kind), row.id)


def sized_of(row: Row) -> SizedRef:
    return SizedRef(ref_of(row), row.size_bytes or len(row.id))


def stored_of(row: Row) -> Stored:
    return Stored(
        ref=ref_of(row),
        content_hash=row.content_hash,
        since_version=row.valid_from,
        apply_set=row.apply_set,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
        body=row.body,
    )


def page_params(after: Ref | None, limit: int) -> dict[str, object]:
    """Parameters of a statement that reads a page by kind and id."""
    kind, id_ = after or _BEFORE_ALL
    return {"after_kind": int(kind), "after_id": id_, "limit": limit}


def filter_params(which: VersionFilter, newest: int) -> dict[str, object]:
    first, last = _ALWAYS
    return {
        "newest": newest,
        "actor": which.actor,
        "since": which.since or first,
        "until": which.until or last,
    }


def published_of(row: Row) -> PublishedVersion:
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


def changes_of(brought: Sequence[Row], removed: Sequence[Row], limit: int) -> Sequence[SizedChange]:
    found = [
        SizedChange(ChangeKey(row.version, ref_of(row)), row.size_bytes)
        for row in [*brought, *removed]
    ]
    return sorted(found, key=lambda change: change.key, reverse=True)[:limit]


def resource_row(written: ResourceWrite, publication: Publication) -> dict[str, object]:
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


def edge_rows(written: ResourceWrite) -> list[dict[str, object]]:
    kind, id_ = written.ref
    return [
        {"space": target.space, "target_id": target.id, "kind": kind, "id": id_}
        for target in written.targets
    ]


def version_row(version: PublishedVersion) -> dict[str, object]:
    return {
        "version": version.version,
        "created_at": version.at,
        "created_by": version.by,
        "method": version.method,
        "request_id": version.request_id,
        "change_count": version.change_count,
        "restored_from": version.restored_from,
        "content_hash": version.content_hash,
        "lineage": version.lineage,
    }
