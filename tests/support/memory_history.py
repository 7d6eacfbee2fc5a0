"""The past of the model of dictionaries: every version is kept whole, so everything is derived."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from services.registry.core.history_ports import (
    ChangeKey,
    Entry,
    PublishedVersion,
    SizedChange,
    Span,
    VersionFilter,
)
from services.registry.core.model import Kind, Ref
from services.registry.core.ports import Head, Sized, Stored


class MemoryHistory:
    """Reads of ``HistoryReads`` and writes of ``HistoryTx`` over whole versions."""

    _head: Head
    _versions: dict[int, dict[Ref, Stored]]
    _published: dict[int, PublishedVersion]

    def published(
        self, which: VersionFilter, newest: int, limit: int
    ) -> Sequence[PublishedVersion]:
        found = [self._published[one] for one in sorted(self._published, reverse=True)]
        return [one for one in found if one.version <= newest and _fits(one, which)][:limit]

    def published_first(self, limit: int) -> Sequence[PublishedVersion]:
        return [self._published[one] for one in sorted(self._published)][:limit]

    def unhashed(self, limit: int) -> Sequence[PublishedVersion]:
        found = self.published(VersionFilter(), self._head.version, len(self._published))
        return [one for one in found if one.content_hash is None][:limit]

    def lineage(self, version: int) -> str | None:
        known = self._published.get(version)
        return known.lineage if known else None

    def entries(self, span: Span) -> Sequence[Entry]:
        spans: dict[tuple[Ref, int], Entry] = {}
        for version in sorted(self._versions):
            for ref, stored in self._versions[version].items():
                gone = version + 1 if version < self._head.version else None
                entry = Entry(*ref, stored.since_version, gone, stored.content_hash)
                spans[ref, stored.since_version] = entry
        return [
            entry
            for _, entry in sorted(spans.items())
            if entry.valid_from <= span.newest
            and (entry.valid_to is None or entry.valid_to > span.oldest)
        ]

    def differing(self, older: int, newer: int, after: Ref | None, limit: int) -> Sequence[Sized]:
        old, new = self._versions[older], self._versions[newer]
        return [
            Sized(ref, len((new.get(ref) or old[ref]).body))
            for ref in sorted(old.keys() | new.keys())
            if _hash(old.get(ref)) != _hash(new.get(ref)) and (after is None or ref > after)
        ][:limit]

    def changes_in(
        self, span: Span, kind: Kind | None, before: ChangeKey, limit: int
    ) -> Sequence[SizedChange]:
        return [
            change
            for change in self._log(VersionFilter())
            if span.oldest <= change.key.version <= span.newest
            and change.key < before
            and kind in {None, change.key.ref.kind}
        ][:limit]

    def changes_of(
        self, ref: Ref, which: VersionFilter, newest: int, limit: int
    ) -> Sequence[SizedChange]:
        return [
            change
            for change in self._log(which)
            if change.key.ref == ref and change.key.version <= newest
        ][:limit]

    def _log(self, which: VersionFilter) -> Iterator[SizedChange]:
        for version in sorted(self._published, reverse=True):
            if not _fits(self._published[version], which):
                continue
            old, new = self._versions.get(version - 1, {}), self._versions[version]
            for ref in sorted(old.keys() | new.keys(), reverse=True):
                if _since(old.get(ref)) != _since(new.get(ref)):
                    sides = (each.body for each in (old.get(ref), new.get(ref)) if each)
                    yield SizedChange(ChangeKey(version, ref), sum(map(len, sides)))

    def keep_hashes(self, hashes: Mapping[int, bytes]) -> None:
        for version in hashes.keys() & self._published.keys():
            hashed = replace(self._published[version], content_hash=hashes[version])
            self._published[version] = hashed

    def retire(self, oldest_version: int) -> None:
        self._head = replace(self._head, oldest_version=oldest_version)
        for version in [one for one in self._published if one < oldest_version]:
            del self._published[version]

    def sweep(self, limit: int) -> int:
        """Whole versions go; the one before the oldest stays for what that one replaced."""
        gone = [one for one in self._versions if one < self._head.oldest_version - 1][:limit]
        for version in gone:
            del self._versions[version]
        return len(gone)


def _hash(stored: Stored | None) -> bytes | None:
    return stored.content_hash if stored else None


def _since(stored: Stored | None) -> int | None:
    return stored.since_version if stored else None


def _fits(version: PublishedVersion, which: VersionFilter) -> bool:
    return (
        which.actor in {"", version.by}
        and (which.since is None or version.at >= which.since)
        and (which.until is None or version.at < which.until)
    )
