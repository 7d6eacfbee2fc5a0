"""The use cases of resources: load what a decision needs, decide, save, answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.chassis.caller import Caller, Replay
from services.chassis.clock import Clock
from services.registry.core.changes.deleting import DeleteCommand, check_deletable
from services.registry.core.changes.publishing import (
    Publisher,
    check_version,
    mutate,
)
from services.registry.core.errors import ResourceNotFoundError, VersionNotFoundError
from services.registry.core.paging import PAGE_BYTES, count_that_fits, page_items
from services.registry.core.ports import Reads, ResourceCodec, Store, Tx
from services.registry.core.refs import Ref
from services.registry.core.stored import Head, ListQuery, Stored
from services.registry.core.watching import SnapshotFacts


@dataclass(frozen=True, slots=True)
class Deleted:
    """The version without the resource."""

    version: int
    incarnation: str


@dataclass(frozen=True, slots=True)
class Found:
    """A resource and the version it was read at."""

    stored: Stored
    version: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A page; ``next_after`` is where the next one begins, None on the last."""

    resources: tuple[Stored, ...]
    next_after: Ref | None
    version: int


class Registry:
    """Delete, get and list."""

    def __init__(self, store: Store, codec: ResourceCodec, clock: Clock) -> None:
        self._store = store
        self._publisher = Publisher(codec, clock)

    async def delete(self, caller: Caller, command: DeleteCommand) -> Deleted | Replay:
        """Remove one resource.

        Raises:
            VersionMismatchError: ``expected_version`` is not current.
            ResourceNotFoundError: There is none.
            ResourceInUseError: Something refers to it.
        """
        ref = command.ref

        def delete(tx: Tx, head: Head) -> Deleted:
            check_version(command.expected_version, head.version)
            check_deletable(ref, tx.existing([ref]), tx.dependents([ref.target]))
            version = self._publisher.publish(tx, head, caller, removed=[ref])
            return Deleted(version, head.incarnation)

        return await mutate(self._store, caller, delete)

    async def get(self, ref: Ref) -> Found:
        """Raises:
        ResourceNotFoundError: There is none.
        """

        def find(reads: Reads) -> Found:
            stored = reads.stored(ref)
            if stored is None:
                raise ResourceNotFoundError.of([ref])
            return Found(stored, reads.head().version)

        return await self._store.read(find)

    async def list(self, query: ListQuery) -> Listed:
        """A page of at most ``query.limit`` resources and 3 MiB."""
        return await self._store.read(lambda reads: _page(reads, query))

    async def snapshot_facts(self, version: int | None) -> SnapshotFacts:
        """Of ``version``, or of the current one.

        Raises:
            VersionNotFoundError: It never was, or is no longer kept.
        """

        def find(reads: Reads) -> SnapshotFacts:
            head = reads.head()
            asked = head.version if version is None else version
            digest = reads.snapshot_hash(asked)
            if digest is None:
                raise VersionNotFoundError.of(asked, head.oldest_version, head.version)
            return SnapshotFacts(asked, head.incarnation, digest, reads.lineage(asked) or "")

        return await self._store.read(find)


def _page(reads: Reads, query: ListQuery) -> Listed:
    limit = page_items(query.limit)
    found = reads.listed(replace(query, limit=limit + 1))
    count = count_that_fits(found, PAGE_BYTES, limit)
    resources = [stored for sized in found[:count] if (stored := reads.stored(sized.ref))]
    next_after = found[count - 1].ref if count < len(found) else None
    return Listed(tuple(resources), next_after, reads.head().version)
