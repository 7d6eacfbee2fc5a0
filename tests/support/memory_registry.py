"""The registry's store as plain dictionaries: the model that the real one is compared with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from services.chassis.caller import RequestKey
from services.chassis.errors import IdempotencyConflictError
from services.registry.core.canonical import entry_bytes, hash_of_entries
from services.registry.core.ports import Reads, Tx
from services.registry.core.refs import Kind, Ref, Target
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
from tests.support.clock import START

T = TypeVar("T")


def snapshot_hash(entries: Iterable[tuple[Ref, bytes]]) -> bytes:
    """The content hash of a version; ``entries`` are sorted by kind and id."""
    return hash_of_entries(entry_bytes(ref.kind, ref.id, digest) for ref, digest in entries)


class MemoryTx:
    """``Tx`` over the dictionaries of one store."""

    def __init__(self) -> None:
        self._head = Head(1, "in-memory")
        self._versions: dict[int, dict[Ref, Stored]] = {1: {}}
        self._published = {1: PublishedVersion(1, START, "", "", "", 0, None, None, "")}
        self._targets: dict[Ref, frozenset[Target]] = {}
        self._answers: dict[RequestKey, bytes] = {}

    @property
    def _now(self) -> dict[Ref, Stored]:
        return self._versions[self._head.version]

    def head(self) -> Head:
        return self._head

    lock_head = head

    def existing(self, refs: Iterable[Ref]) -> Mapping[Ref, Existing]:
        found = {ref: self._now.get(ref) for ref in refs}
        return {ref: Existing(s.content_hash, s.apply_set) for ref, s in found.items() if s}

    def in_apply_set(self, apply_set: str) -> Sequence[Ref]:
        return [ref for ref, stored in self._now.items() if stored.apply_set == apply_set]

    def reference_facts(self, query: ReferenceQuery) -> ReferenceFacts:
        kinds = {
            target: frozenset(ref.kind for ref in self._now if ref.target == target)
            for target in query.targets
        }
        users = {target: self._dependents(target) for target in query.vacated}
        return ReferenceFacts(
            {target: found for target, found in kinds.items() if found},
            {target: found for target, found in users.items() if found},
        )

    def dependents(self, targets: Iterable[Target]) -> Collection[Ref]:
        return {ref for target in targets for ref in self._dependents(target)}

    def _dependents(self, target: Target) -> Sequence[Ref]:
        return [ref for ref, targets in self._targets.items() if target in targets]

    def stored(self, ref: Ref) -> Stored | None:
        return self._now.get(ref)

    def stored_at(self, ref: Ref, version: int) -> Stored | None:
        return self._versions[version].get(ref)

    def listed(self, query: ListQuery) -> Sequence[SizedRef]:
        found = [
            SizedRef(ref, len(stored.body))
            for ref, stored in sorted(self._now.items())
            if query.kind in (None, ref.kind)
            and query.apply_set in ("", stored.apply_set)
            and (query.after is None or ref > query.after)
        ]
        return found[: query.limit]

    def changed(
        self, from_version: int, to_version: int, after: Ref | None, limit: int
    ) -> Sequence[SizedRef]:
        old = self._versions[from_version] if from_version else {}
        new = self._versions[to_version]
        changed = [
            SizedRef(ref, len(new[ref].body) if ref in new else len(ref.id))
            for ref in sorted(old.keys() | new.keys())
            if _content(old.get(ref)) != _content(new.get(ref)) and (after is None or ref > after)
        ]
        return changed[:limit]

    def snapshot_hash(self, version: int) -> bytes | None:
        if version not in self._published:
            return None
        entries = sorted(self._versions[version].items())
        return snapshot_hash((ref, stored.content_hash) for ref, stored in entries)

    def publish(self, publication: Publication) -> None:
        now = dict(self._now)
        for ref in publication.removed:
            del now[ref], self._targets[ref]
        for written in publication.upserts:
            self._targets[written.ref] = written.targets
            now[written.ref] = Stored(
                written.ref,
                written.content_hash,
                publication.version,
                written.apply_set,
                publication.at,
                publication.by,
                written.body,
            )
        lineage = next_lineage(self._head.lineage, publication)
        self._versions[publication.version] = now
        self._published[publication.version] = publication.recorded(lineage)
        self._head = replace(self._head, version=publication.version, lineage=lineage)

    def adopt(self, refs: Collection[Ref], apply_set: str) -> None:
        for ref in refs:
            marked = replace(self._now[ref], apply_set=apply_set)
            # The mark belongs to the content, in whichever versions that is.
            for resources in self._versions.values():
                had = resources.get(ref)
                if had and had.since_version == marked.since_version:
                    resources[ref] = marked

    def published(
        self, which: VersionFilter, newest: int, limit: int
    ) -> Sequence[PublishedVersion]:
        found = [self._published[one] for one in sorted(self._published, reverse=True)]
        return [one for one in found if one.version <= newest and _fits(one, which)][:limit]

    def oldest_published(self, limit: int) -> Sequence[PublishedVersion]:
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

    def differing(
        self, older: int, newer: int, after: Ref | None, limit: int
    ) -> Sequence[SizedRef]:
        old, new = self._versions[older], self._versions[newer]
        return [
            SizedRef(ref, len((new.get(ref) or old[ref]).body))
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

    def save_hashes(self, hashes: Mapping[int, bytes]) -> None:
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

    def recall(self, request: RequestKey) -> bytes | None:
        for known, body in self._answers.items():
            if replace(known, digest=request.digest) == request:
                if known.digest != request.digest:
                    raise IdempotencyConflictError("used before", request_id=request.key)
                return body
        return None

    def remember(self, request: RequestKey, body: bytes) -> None:
        self._answers[request] = body


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


def _content(stored: Stored | None) -> tuple[bytes, int] | None:
    return (stored.content_hash, stored.since_version) if stored else None


class MemoryRegistryStore:
    """``Store``; what raises has written nothing, since publishing is the last step."""

    def __init__(self) -> None:
        self.tx = MemoryTx()

    async def write(self, fn: Callable[[Tx], T]) -> T:
        return fn(self.tx)

    async def read(self, fn: Callable[[Reads], T]) -> T:
        return fn(self.tx)
