"""The store and the codec as the use cases need them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from services.chassis.caller import RequestLog
from services.registry.core.model import Resource
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
)

T = TypeVar("T")


class ResourceCodec(Protocol):
    """Bytes of a resource, readable by every later version of the registry."""

    def encode(self, resource: Resource) -> bytes: ...

    def decode(self, body: bytes) -> Resource: ...


class Reads(Protocol):
    """A read transaction; reads the current version unless a method says otherwise."""

    def head(self) -> Head: ...

    def existing(self, refs: Iterable[Ref]) -> Mapping[Ref, Existing]:
        """Those of ``refs`` that exist."""

    def in_apply_set(self, apply_set: str) -> Sequence[Ref]:
        """The resources of an apply set."""

    def reference_facts(self, query: ReferenceQuery) -> ReferenceFacts:
        """The kinds under each target, and the resources that refer to vacated ones."""

    def dependents(self, targets: Iterable[Target]) -> Collection[Ref]:
        """The resources that refer to any of ``targets``, without duplicates."""

    def stored(self, ref: Ref) -> Stored | None: ...

    def stored_at(self, ref: Ref, version: int) -> Stored | None:
        """As it was in ``version``, which must be kept."""

    def listed(self, query: ListQuery) -> Sequence[SizedRef]:
        """By kind and id, after ``query.after``, at most ``query.limit``."""

    def changed(
        self, from_version: int, to_version: int, after: Ref | None, limit: int
    ) -> Sequence[SizedRef]:
        """What differs between two versions, by kind and id, after ``after``.

        With ``from_version`` 0: everything in ``to_version``. It may include resources
        that changed and changed back.
        """

    def lineage(self, version: int) -> str | None:
        """Of a version that is kept; None for any other."""

    def snapshot_hash(self, version: int) -> bytes | None:
        """Content hash of a version that is kept; None for any other.

        Never computed by a mutation, which costs what it changes, not what there is.
        """

    def published(
        self, which: VersionFilter, newest: int, limit: int
    ) -> Sequence[PublishedVersion]:
        """Versions that are kept, from ``newest`` backwards."""

    def oldest_published(self, limit: int) -> Sequence[PublishedVersion]:
        """Versions that are kept, from the oldest on."""

    def unhashed(self, limit: int) -> Sequence[PublishedVersion]:
        """Versions without a content hash, newest first."""

    def entries(self, span: Span) -> Sequence[Entry]:
        """All contents that were in one of these versions, by kind, id and time."""

    def differing(
        self, older: int, newer: int, after: Ref | None, limit: int
    ) -> Sequence[SizedRef]:
        """Resources whose content differs between two versions, by kind and id, after ``after``."""

    def changes_in(
        self, span: Span, kind: Kind | None, before: ChangeKey, limit: int
    ) -> Sequence[SizedChange]:
        """What these versions changed, backwards from ``before``, which is not included."""

    def changes_of(
        self, ref: Ref, which: VersionFilter, newest: int, limit: int
    ) -> Sequence[SizedChange]:
        """What versions up to ``newest`` changed of one resource, newest first."""


class Tx(Reads, RequestLog, Protocol):
    """A write transaction; from ``lock_head`` to its end no other one holds the head."""

    def lock_head(self) -> Head: ...

    def publish(self, publication: Publication) -> None:
        """Add a version; watchers are notified after the commit."""

    def adopt(self, refs: Collection[Ref], apply_set: str) -> None:
        """Move current resources to ``apply_set``; that is no content, so it makes no version."""

    def save_hashes(self, hashes: Mapping[int, bytes]) -> None:
        """Store content hashes of versions; those that are no longer kept are skipped."""

    def retire(self, oldest_version: int) -> None:
        """Keep no version before this one."""

    def sweep(self, limit: int) -> int:
        """Delete up to ``limit`` contents that no kept version needs; answers how many.

        What the oldest kept version replaced is needed for its audit entries.
        """


class Store(Protocol):
    """Runs ``fn`` in one transaction."""

    async def write(self, fn: Callable[[Tx], T]) -> T: ...

    async def read(self, fn: Callable[[Reads], T]) -> T: ...
