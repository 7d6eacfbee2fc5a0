"""The use cases of kept versions: list, compare, audit and roll back."""

from __future__ import annotations

from dataclasses import dataclass

from services.chassis.caller import Caller, Replay
from services.chassis.clock import Clock
from services.registry.core.changes.publishing import (
    Change,
    Publisher,
    check_version,
    mutate_in_slices,
)
from services.registry.core.errors import VersionNotFoundError
from services.registry.core.history.auditing import AuditPage, AuditQuery, audit_page
from services.registry.core.history.comparing import Comparison, DiffPage, diff_page
from services.registry.core.history.hashing import hashable_at_once, hashes_of
from services.registry.core.history.rolling_back import (
    Restoration,
    RollbackCommand,
    VersionPair,
    changes,
    check_restored,
    restoration,
    upserts,
)
from services.registry.core.paging import page_items
from services.registry.core.ports import Reads, ResourceCodec, Store, Tx
from services.registry.core.refs import Ref
from services.registry.core.rules.validating import reference_query
from services.registry.core.stored import Head, PublishedVersion, VersionFilter

# More than there can be resources.
_NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class HashedVersion:
    """A version with its content hash."""

    facts: PublishedVersion
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class VersionPage:
    """Newest first; ``next_before`` is where the next page begins, None on the last."""

    versions: tuple[HashedVersion, ...]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class DiffQuery:
    """Two versions, and the page.

    Attributes:
        after_version: The version to compare with; None for the current one.
    """

    before_version: int
    after_version: int | None
    after: Ref | None
    limit: int


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback did, and the version that is current afterwards."""

    version: int
    incarnation: str
    changes: tuple[Change, ...]


class History:
    """The versions that are kept."""

    def __init__(
        self,
        store: Store,
        codec: ResourceCodec,
        clock: Clock,
    ) -> None:
        self._store = store
        self._codec = codec
        self._publisher = Publisher(codec, clock)

    async def versions(self, before: int | None, limit: int) -> VersionPage:
        """At most ``limit`` versions older than ``before``; fewer when many lack their hash."""
        return await self._store.read(lambda reads: _version_page(reads, before, limit))

    async def diff(self, query: DiffQuery) -> DiffPage:
        """Raises:
        VersionNotFoundError: One of the versions is not kept.
        """

        def compare(reads: Reads) -> DiffPage:
            head = reads.head()
            after = head.version if query.after_version is None else query.after_version
            versions = Comparison(query.before_version, after)
            for version in (versions.before, versions.after):
                _check_kept(head, version)
            return diff_page(reads, self._codec, versions, after=query.after, limit=query.limit)

        return await self._store.read(compare)

    async def audit(self, query: AuditQuery) -> AuditPage:
        """Who changed what, newest first."""
        return await self._store.read(lambda reads: audit_page(reads, query))

    async def rollback(self, caller: Caller, command: RollbackCommand) -> RolledBack | Replay:
        """Publish the content of an old version as a new one, unless nothing differs.

        Raises:
            VersionNotFoundError: That version is not kept.
            VersionMismatchError: ``expected_version`` is not current.
            InvalidRequestError: The old content violates the current rules.
        """

        def roll_back(tx: Tx, head: Head) -> RolledBack:
            return self._roll_back(tx, head, caller, command)

        return await mutate_in_slices(self._store, caller, roll_back)

    def _roll_back(
        self, tx: Tx, head: Head, caller: Caller, command: RollbackCommand
    ) -> RolledBack:
        check_version(command.expected_version, head.version)
        _check_kept(head, command.version)
        plan = self._plan(tx, head, command)
        check_restored(plan, tx.reference_facts(reference_query(plan.submitted, plan.removed)))
        written = upserts(plan)
        version = self._publisher.publish(
            tx,
            head,
            caller,
            upserts=written,
            removed=plan.removed,
            restored_from=command.version,
        )
        return RolledBack(version, head.incarnation, changes(written, plan.removed))

    def _plan(self, tx: Tx, head: Head, command: RollbackCommand) -> Restoration:
        differing = tx.differing(command.version, head.version, None, _NO_LIMIT)
        pairs = (
            VersionPair(sized.ref, tx.stored_at(sized.ref, command.version), tx.stored(sized.ref))
            for sized in differing
        )
        return restoration(pairs, self._codec)


def _check_kept(head: Head, version: int) -> None:
    if not head.oldest_version <= version <= head.version:
        raise VersionNotFoundError.of(version, head.oldest_version, head.version)


def _version_page(reads: Reads, before: int | None, limit: int) -> VersionPage:
    limit = page_items(limit)
    newest = reads.head().version if before is None else before - 1
    found = reads.published(VersionFilter(), newest, limit + 1)
    shown = found[: hashable_at_once(found[:limit])]
    hashes = hashes_of(reads, shown)
    versions = tuple(HashedVersion(one, hashes[one.version]) for one in shown)
    return VersionPage(versions, shown[-1].version if len(shown) < len(found) else None)
