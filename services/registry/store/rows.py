"""Rows to what the core knows, and back."""

from __future__ import annotations

from services.chassis.store.port import Row
from services.registry.core.model import Kind, Ref
from services.registry.core.ports import Head, Sized, Stored

_BEFORE_ALL = Ref(Kind(1), "")


def head_of(row: Row) -> Head:
    return Head(row.version, row.incarnation, row.oldest_version, row.lineage)


def ref_of(row: Row) -> Ref:
    return Ref(Kind(row.kind), row.id)


def sized_of(row: Row) -> Sized:
    return Sized(ref_of(row), row.size_bytes or len(row.id))


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
