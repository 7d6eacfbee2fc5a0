"""What differs between two versions, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass

from services.registry.core.changes.diffing import MAX_FIELDS_BYTES, fields_within, size_bytes
from services.registry.core.changes.publishing import Action, Change
from services.registry.core.model import Resource
from services.registry.core.paging import MAX_PAIRS, count_that_fits, page_items
from services.registry.core.ports import Reads, ResourceCodec
from services.registry.core.refs import Ref
from services.registry.core.stored import Stored

# Contents that one page compares field by field, which takes longer than reading them.
_COMPARED_BYTES = 512 << 10


@dataclass(frozen=True, slots=True)
class Comparison:
    """Which versions; either may be the older one."""

    before: int
    after: int

    @property
    def older(self) -> int:
        return min(self.before, self.after)

    @property
    def newer(self) -> int:
        return max(self.before, self.after)


@dataclass(frozen=True, slots=True)
class DiffPage:
    """By kind and id; ``next_after`` is where the next page begins, None on the last."""

    changes: tuple[Change, ...]
    next_after: Ref | None
    versions: Comparison


def diff_page(
    reads: Reads,
    codec: ResourceCodec,
    versions: Comparison,
    *,
    after: Ref | None,
    limit: int,
) -> DiffPage:
    """Up to ``limit`` changes, 512 KiB of contents and 1 MiB of fields; both versions are kept."""
    limit = page_items(limit, MAX_PAIRS)
    found = reads.differing(versions.older, versions.newer, after, limit + 1)
    changes: list[Change] = []
    left_bytes = MAX_FIELDS_BYTES
    for sized in found[: count_that_fits(found, _COMPARED_BYTES, limit)]:
        change = _change(reads, codec, versions, sized.ref)
        left_bytes -= size_bytes(change)
        if left_bytes < 0 and changes:
            break
        changes.append(change)
    next_after = changes[-1].ref if len(changes) < len(found) else None
    return DiffPage(tuple(changes), next_after, versions)


def _change(reads: Reads, codec: ResourceCodec, versions: Comparison, ref: Ref) -> Change:
    before = reads.stored_at(ref, versions.before)
    after = reads.stored_at(ref, versions.after)
    fields, truncated = fields_within(_decoded(codec, before), _decoded(codec, after))
    return Change(ref, _action(before, after), tuple(fields), truncated)


def _decoded(codec: ResourceCodec, stored: Stored | None) -> Resource | None:
    return codec.decode(stored.body) if stored else None


def _action(before: Stored | None, after: Stored | None) -> Action:
    if before is None:
        return Action.CREATED
    return Action.UPDATED if after else Action.REMOVED
