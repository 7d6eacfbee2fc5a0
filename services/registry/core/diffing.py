"""What a change does to each field, kept small enough for one answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from services.registry.core.applying import Change, Draft
from services.registry.core.canonical import FieldChange, field_changes
from services.registry.core.model import Ref, Resource

MAX_FIELDS_BYTES = 1 << 20
_FIELD_OVERHEAD_BYTES = 16


def with_fields(draft: Draft, before: Mapping[Ref, Resource]) -> tuple[Change, ...]:
    """The changes of ``draft`` with the fields that differ, at most 1 MiB of them in all."""
    after = {upsert.ref: upsert.resource for upsert in draft.upserts}
    return tuple(_filled(draft.changes(), before, after))


def _filled(
    changes: Iterable[Change], before: Mapping[Ref, Resource], after: Mapping[Ref, Resource]
) -> Iterator[Change]:
    left_bytes = MAX_FIELDS_BYTES
    for change in changes:
        differing = field_changes(before.get(change.ref), after.get(change.ref))
        if change.ref not in before and change.ref not in after:
            yield change
            continue
        kept = list(_within(differing, left_bytes))
        left_bytes -= sum(map(_size_bytes, kept))
        yield replace(change, fields=tuple(kept), fields_truncated=len(kept) < len(differing))


def _within(fields: Iterable[FieldChange], limit_bytes: int) -> Iterator[FieldChange]:
    for field in fields:
        limit_bytes -= _size_bytes(field)
        if limit_bytes < 0:
            return
        yield field


def _size_bytes(field: FieldChange) -> int:
    text = field.path + field.before + field.after
    return len(text.encode("utf-8")) + _FIELD_OVERHEAD_BYTES
