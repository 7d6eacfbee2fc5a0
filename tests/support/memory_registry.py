"""The registry's store as plain dictionaries: the model that the real one is compared with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from services.chassis.caller import RequestKey
from services.chassis.errors import IdempotencyConflictError
from services.registry.core.applying import Held
from services.registry.core.canonical import entry_bytes, hash_of_entries
from services.registry.core.history_ports import HistoryReads, HistoryTx, PublishedVersion
from services.registry.core.lineage import next_lineage
from services.registry.core.model import Ref, Target
from services.registry.core.ports import (
    Head,
    ListQuery,
    Publication,
    Sized,
    Stored,
)
from services.registry.core.validating import Surroundings, Wanted
from tests.support.clock import START
from tests.support.memory_history import MemoryHistory

T = TypeVar("T")


def snapshot_hash(entries: Iterable[tuple[Ref, bytes]]) -> bytes:
    """The content hash of a version; ``entries`` are sorted by kind and id."""
    return hash_of_entries(entry_bytes(ref.kind, ref.id, digest) for ref, digest in entries)


class MemoryTx(MemoryHistory):
    """``RegistryTx`` over the dictionaries of one store."""

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

    def held(self, refs: Iterable[Ref]) -> Mapping[Ref, Held]:
        found = {ref: self._now.get(ref) for ref in refs}
        return {ref: Held(s.content_hash, s.apply_set) for ref, s in found.items() if s}

    def marked(self, apply_set: str) -> Sequence[Ref]:
        return [ref for ref, stored in self._now.items() if stored.apply_set == apply_set]

    def surroundings(self, wanted: Wanted) -> Surroundings:
        kinds = {
            target: frozenset(ref.kind for ref in self._now if ref.target == target)
            for target in wanted.targets
        }
        users = {target: self._dependents(target) for target in wanted.vacated}
        return Surroundings(
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

    def listed(self, query: ListQuery) -> Sequence[Sized]:
        found = [
            Sized(ref, len(stored.body))
            for ref, stored in sorted(self._now.items())
            if query.kind in (None, ref.kind)
            and query.apply_set in ("", stored.apply_set)
            and (query.after is None or ref > query.after)
        ]
        return found[: query.limit]

    def changed(
        self, from_version: int, to_version: int, after: Ref | None, limit: int
    ) -> Sequence[Sized]:
        old = self._versions[from_version] if from_version else {}
        new = self._versions[to_version]
        changed = [
            Sized(ref, len(new[ref].body) if ref in new else len(ref.id))
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
        self._published[publication.version] = PublishedVersion(
            publication.version,
            publication.at,
            publication.by,
            publication.method,
            publication.request_id,
            len(publication.upserts) + len(publication.removed),
            publication.restored_from,
            None,
            lineage,
        )
        self._head = replace(self._head, version=publication.version, lineage=lineage)

    def adopt(self, refs: Collection[Ref], apply_set: str) -> None:
        for ref in refs:
            marked = replace(self._now[ref], apply_set=apply_set)
            # The mark belongs to the content, in whichever versions that is.
            for resources in self._versions.values():
                had = resources.get(ref)
                if had and had.since_version == marked.since_version:
                    resources[ref] = marked

    def recall(self, request: RequestKey) -> bytes | None:
        for known, body in self._answers.items():
            if replace(known, digest=request.digest) == request:
                if known.digest != request.digest:
                    raise IdempotencyConflictError("used before", request_id=request.key)
                return body
        return None

    def remember(self, request: RequestKey, body: bytes) -> None:
        self._answers[request] = body


def _content(stored: Stored | None) -> tuple[bytes, int] | None:
    return (stored.content_hash, stored.since_version) if stored else None


class MemoryRegistryStore:
    """``RegistryStore``; what raises has written nothing, since publishing is the last step."""

    def __init__(self) -> None:
        self.tx = MemoryTx()

    async def write(self, fn: Callable[[HistoryTx], T]) -> T:
        return fn(self.tx)

    async def read(self, fn: Callable[[HistoryReads], T]) -> T:
        return fn(self.tx)
