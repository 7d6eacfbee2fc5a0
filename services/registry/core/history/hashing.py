"""Content hashes of versions: one read of the store for many of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.registry.core.canonical import entry_bytes, hash_of_entries
from services.registry.core.ports import Reads
from services.registry.core.stored import PublishedVersion, Span

# What one read may compute: its time grows with resources x versions and with what they changed.
MAX_HASHES = 100
MAX_CHANGES = 20_000


def content_hashes(reads: Reads, versions: Sequence[int]) -> Mapping[int, bytes]:
    """The hashes of ``versions``, which are kept."""
    if not versions:
        return {}
    newest = max(versions)
    entries = [
        (
            one.valid_from,
            one.valid_to or newest + 1,
            entry_bytes(one.kind, one.id, one.content_hash),
        )
        for one in reads.entries(Span(min(versions), newest))
    ]
    return {
        version: hash_of_entries(
            piece for since, until, piece in entries if since <= version < until
        )
        for version in versions
    }


def hashable_at_once(versions: Sequence[PublishedVersion]) -> int:
    """How many of ``versions``, from the first, may be hashed in one read: at least one.

    Those that have a hash do not count.
    """
    hashes = changes = 0
    for count, version in enumerate(versions):
        if version.content_hash is None:
            hashes += 1
            changes += version.change_count
            if hashes > 1 and (hashes > MAX_HASHES or changes > MAX_CHANGES):
                return count
    return len(versions)


def hashes_of(reads: Reads, versions: Sequence[PublishedVersion]) -> Mapping[int, bytes]:
    """The hashes of ``versions``: those that are kept, the others computed."""
    kept = {one.version: one.content_hash for one in versions if one.content_hash is not None}
    missing = [one.version for one in versions if one.content_hash is None]
    return {**kept, **content_hashes(reads, missing)}
