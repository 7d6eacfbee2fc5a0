"""The use cases: load what a decision needs, decide, save, answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from services.chassis.caller import Replay, once
from services.chassis.clock import Clock
from services.registry.core.applying import (
    ApplyCommand,
    Change,
    Draft,
    check,
    check_version,
    draft,
    pruned,
)
from services.registry.core.cutting import PAGE_BYTES, cut, page_items
from services.registry.core.diffing import with_fields
from services.registry.core.errors import ResourceNotFoundError, VersionNotFoundError
from services.registry.core.model import Ref, Resource
from services.registry.core.ports import (
    Head,
    ListQuery,
    Origin,
    Publication,
    RegistryReads,
    RegistryStore,
    RegistryTx,
    ResourceCodec,
    Stored,
    Written,
)
from services.registry.core.references import references
from services.registry.core.validating import wanted
from services.registry.core.watching import SnapshotFacts


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done, and the version that is current afterwards."""

    version: int
    incarnation: str
    changes: tuple[Change, ...]


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
    """Everything the service can do, whoever asks.

    Args:
        encode_applied: The bytes of an answer, kept for repeats of a request.
    """

    def __init__(
        self,
        store: RegistryStore,
        codec: ResourceCodec,
        encode_applied: Callable[[Applied], bytes],
        clock: Clock,
    ) -> None:
        self._store = store
        self._codec = codec
        self._encode_applied = encode_applied
        self._clock = clock

    async def apply(self, origin: Origin, command: ApplyCommand) -> Applied | Replay:
        """Create, update and prune in one version; with ``dry_run`` only say what that would do.

        Raises:
            InvalidRequestError: With every violation, of fields and of references.
            VersionMismatchError: ``expected_version`` is not current.
            ResourceExistsError: Mode create, and some exist.
            ResourceNotFoundError: Mode update, and some do not.
        """
        if command.dry_run:
            return await self._store.read(lambda reads: self._rehearse(reads, command))

        def apply_once(tx: RegistryTx) -> Applied | Replay:
            return once(
                tx, origin.request, lambda: self._apply(tx, origin, command), self._encode_applied
            )

        return await self._store.write(apply_once)

    async def get(self, ref: Ref) -> Found:
        """Raises:
        ResourceNotFoundError: There is none.
        """

        def find(reads: RegistryReads) -> Found:
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

        def find(reads: RegistryReads) -> SnapshotFacts:
            head = reads.head()
            asked = head.version if version is None else version
            digest = reads.snapshot_hash(asked)
            if digest is None:
                raise VersionNotFoundError.of(asked, head.oldest_version, head.version)
            return SnapshotFacts(asked, head.incarnation, digest)

        return await self._store.read(find)

    def _apply(self, tx: RegistryTx, origin: Origin, command: ApplyCommand) -> Applied:
        head = tx.lock_head()
        decided = _decide(tx, head, command)
        tx.adopt(decided.adopted, command.apply_set)
        if decided.makes_a_version:
            tx.publish(self._publication(head.version + 1, decided, origin))
        return _applied(head, decided)

    def _publication(self, version: int, decided: Draft, origin: Origin) -> Publication:
        return Publication(
            version=version,
            upserts=[
                Written(
                    upsert.ref,
                    upsert.content_hash,
                    upsert.apply_set,
                    self._codec.encode(upsert.resource),
                    frozenset(one.target for one in references(upsert.resource)),
                )
                for upsert in decided.upserts
            ],
            removed=decided.removed,
            at=self._clock.now(),
            by=origin.actor,
            method=origin.method,
            request_id=origin.request.key if origin.request else "",
        )

    def _rehearse(self, reads: RegistryReads, command: ApplyCommand) -> Applied:
        head = reads.head()
        decided = _decide(reads, head, command)
        touched = [*(upsert.ref for upsert in decided.upserts), *decided.removed]
        changes = with_fields(decided, self._decoded(reads, touched))
        return replace(_applied(head, decided), changes=changes)

    def _decoded(self, reads: RegistryReads, refs: Iterable[Ref]) -> Mapping[Ref, Resource]:
        found = (reads.stored(ref) for ref in refs)
        return {stored.ref: self._codec.decode(stored.body) for stored in found if stored}


def _decide(reads: RegistryReads, head: Head, command: ApplyCommand) -> Draft:
    check_version(command.expected_version, head.version)
    removed = pruned(command, reads.marked(command.apply_set) if command.prune else ())
    check(command, removed, reads.surroundings(wanted(command.submitted, removed)))
    return draft(command, reads.held(command.refs), removed)


def _applied(head: Head, decided: Draft) -> Applied:
    version = head.version + 1 if decided.makes_a_version else head.version
    return Applied(version, head.incarnation, decided.changes())


def _page(reads: RegistryReads, query: ListQuery) -> Listed:
    limit = page_items(query.limit)
    found = reads.listed(replace(query, limit=limit + 1))
    count = cut(found, PAGE_BYTES, limit)
    resources = [stored for sized in found[:count] if (stored := reads.stored(sized.ref))]
    next_after = found[count - 1].ref if count < len(found) else None
    return Listed(tuple(resources), next_after, reads.head().version)
