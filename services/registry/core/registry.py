"""The use cases: load what a decision needs, decide, save, answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.chassis.caller import Replay
from services.chassis.clock import Clock
from services.registry.core.applying import (
    ApplyCommand,
    Change,
    Draft,
    check,
    check_version,
    draft,
    judge,
    pruned,
)
from services.registry.core.cutting import PAGE_BYTES, cut, page_items
from services.registry.core.deleting import DeleteCommand, check_deletable
from services.registry.core.diffing import with_fields
from services.registry.core.errors import ResourceNotFoundError, VersionNotFoundError
from services.registry.core.model import Ref, Resource
from services.registry.core.ports import (
    Head,
    ListQuery,
    Origin,
    RegistryReads,
    RegistryStore,
    RegistryTx,
    ResourceCodec,
    Stored,
)
from services.registry.core.publishing import Publisher, mutate
from services.registry.core.validating import Diagnostic, Surroundings, wanted
from services.registry.core.watching import SnapshotFacts


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done, and the version that is current afterwards."""

    version: int
    incarnation: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Deleted:
    """The version without the resource."""

    version: int
    incarnation: str


@dataclass(frozen=True, slots=True)
class Validated:
    """What applying would meet at this version; no diagnostics, and it would succeed."""

    diagnostics: Sequence[Diagnostic]
    version: int


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
        encode: The bytes of an answer, kept for repeats of a request.
    """

    def __init__(
        self,
        store: RegistryStore,
        codec: ResourceCodec,
        encode: Callable[[Applied | Deleted], bytes],
        clock: Clock,
    ) -> None:
        self._store = store
        self._codec = codec
        self._encode = encode
        self._publisher = Publisher(codec, clock)

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

        def apply(tx: RegistryTx, head: Head) -> Applied:
            decided = _decide(tx, head, command)
            tx.adopt(decided.adopted, command.apply_set)
            self._publisher.publish(
                tx, head, origin, upserts=decided.upserts, removed=decided.removed
            )
            return _applied(head, decided)

        return await mutate(self._store, origin, apply, self._encode)

    async def validate(self, command: ApplyCommand) -> Validated:
        """Everything that ``apply`` would refuse ``command`` for, without applying it."""

        def judged(reads: RegistryReads) -> Validated:
            found = judge(command, (), _around(reads, command, ()))
            return Validated(found, reads.head().version)

        return await self._store.read(judged)

    async def delete(self, origin: Origin, command: DeleteCommand) -> Deleted | Replay:
        """Remove one resource.

        Raises:
            VersionMismatchError: ``expected_version`` is not current.
            ResourceNotFoundError: There is none.
            ResourceInUseError: Something refers to it.
        """
        ref = command.ref

        def delete(tx: RegistryTx, head: Head) -> Deleted:
            check_version(command.expected_version, head.version)
            check_deletable(ref, tx.held([ref]), tx.dependents([ref.target]))
            version = self._publisher.publish(tx, head, origin, removed=[ref])
            return Deleted(version, head.incarnation)

        return await mutate(self._store, origin, delete, self._encode)

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
            return SnapshotFacts(asked, head.incarnation, digest, reads.lineage(asked) or "")

        return await self._store.read(find)

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
    check(command, removed, _around(reads, command, removed))
    return draft(command, reads.held(command.refs), removed)


def _around(reads: RegistryReads, command: ApplyCommand, removed: Collection[Ref]) -> Surroundings:
    return reads.surroundings(wanted(command.submitted, removed))


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
