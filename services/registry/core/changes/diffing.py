"""What a change does to each field, kept small enough for one answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from services.registry.core.canonical import FieldChange, field_changes
from services.registry.core.changes.publishing import Action, Change, Draft
from services.registry.core.model import Resource
from services.registry.core.refs import Ref

MAX_FIELDS_BYTES = 1 << 20
_FIELD_OVERHEAD_BYTES = 16


def with_fields(draft: Draft, before: Callable[[Ref], Resource | None]) -> tuple[Change, ...]:
    """The changes of ``draft`` with the fields that differ, at most 1 MiB of them in all.

    Args:
        before: What a resource was; asked only of those whose fields still fit.
    """
    after = {upsert.ref: upsert.resource for upsert in draft.upserts}
    return tuple(_filled(draft.changes(), before, after))


def fields_within(
    before: Resource | None, after: Resource | None, limit_bytes: int = MAX_FIELDS_BYTES
) -> tuple[list[FieldChange], bool]:
    """The fields that differ, as many as fit, and whether some were left out."""
    differing = field_changes(before, after)
    kept = list(_within(differing, limit_bytes))
    return kept, len(kept) < len(differing)


def size_bytes(change: Change) -> int:
    """The size of its fields."""
    return sum(map(_size_bytes, change.fields))


def _filled(
    changes: Iterable[Change],
    before: Callable[[Ref], Resource | None],
    after: Mapping[Ref, Resource],
) -> Iterator[Change]:
    left_bytes = MAX_FIELDS_BYTES
    for change in changes:
        if change.action is Action.UNCHANGED:
            yield change
        elif left_bytes == 0:
            yield replace(change, fields_truncated=True)
        else:
            sides = before(change.ref), after.get(change.ref)
            kept, truncated = fields_within(*sides, left_bytes)
            filled = replace(change, fields=tuple(kept), fields_truncated=truncated)
            left_bytes = 0 if truncated else left_bytes - size_bytes(filled)
            yield filled


def _within(fields: Iterable[FieldChange], limit_bytes: int) -> Iterator[FieldChange]:
    for field in fields:
        limit_bytes -= _size_bytes(field)
        if limit_bytes < 0:
            return
        yield field


def _size_bytes(field: FieldChange) -> int:
    text = field.path + field.before + field.after
    return len(text.encode("utf-8")) + _FIELD_OVERHEAD_BYTES
