"""The use cases about the past: which versions there are, how they differ, who made them, and the
way back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.chassis.caller import Replay, once
from services.chassis.clock import Clock
from services.registry.core.applying import Change, check_version
from services.registry.core.auditing import AuditPage, AuditQuery, audit_page
from services.registry.core.comparing import Comparison, DiffPage, diff_page
from services.registry.core.cutting import page_items
from services.registry.core.errors import VersionNotFoundError
from services.registry.core.hashing import affordable, hashes_of
from services.registry.core.history_ports import (
    HistoryReads,
    HistoryStore,
    HistoryTx,
    PublishedVersion,
    VersionFilter,
)
from services.registry.core.model import Ref
from services.registry.core.ports import Head, Origin, ResourceCodec
from services.registry.core.publishing import Publisher
from services.registry.core.rolling_back import (
    Restoration,
    RollbackCommand,
    Turned,
    changes,
    check_restored,
    restoration,
    upserts,
)
from services.registry.core.validating import wanted

# More than there can be resources.
_EVERYTHING = 1 << 62


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
        after_version: Whose contents are after; None for the current one.
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
    """The versions that are kept.

    Args:
        encode: The bytes of a rollback's answer, kept for repeats of the request.
    """

    def __init__(
        self,
        store: HistoryStore,
        codec: ResourceCodec,
        encode: Callable[[RolledBack], bytes],
        clock: Clock,
    ) -> None:
        self._store = store
        self._codec = codec
        self._encode = encode
        self._publisher = Publisher(codec, clock)

    async def versions(self, before: int | None, limit: int) -> VersionPage:
        """At most ``limit`` versions older than ``before``; fewer when many lack their hash."""
        return await self._store.read(lambda reads: _version_page(reads, before, limit))

    async def diff(self, query: DiffQuery) -> DiffPage:
        """Raises:
        VersionNotFoundError: One of the versions is not kept.
        """

        def compare(reads: HistoryReads) -> DiffPage:
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

    async def rollback(self, origin: Origin, command: RollbackCommand) -> RolledBack | Replay:
        """Publish the content of an old version as a new one; no version when it is the same.

        Raises:
            VersionNotFoundError: That version is not kept.
            VersionMismatchError: ``expected_version`` is not current.
            InvalidRequestError: The old content does not meet the rules of today.
        """

        def alone(tx: HistoryTx) -> RolledBack | Replay:
            head = tx.lock_head()
            return once(
                tx,
                origin.request,
                lambda: self._roll_back(tx, head, origin, command),
                self._encode,
            )

        return await self._store.write(alone)

    def _roll_back(
        self, tx: HistoryTx, head: Head, origin: Origin, command: RollbackCommand
    ) -> RolledBack:
        check_version(command.expected_version, head.version)
        _check_kept(head, command.version)
        plan = self._plan(tx, head, command)
        check_restored(plan, tx.surroundings(wanted(plan.submitted, plan.removed)))
        written = upserts(plan)
        version = self._publisher.publish(
            tx,
            head,
            origin,
            upserts=written,
            removed=plan.removed,
            restored_from=command.version,
        )
        return RolledBack(version, head.incarnation, changes(written, plan.removed))

    def _plan(self, tx: HistoryTx, head: Head, command: RollbackCommand) -> Restoration:
        differing = tx.differing(command.version, head.version, None, _EVERYTHING)
        turned = (
            Turned(sized.ref, tx.stored_at(sized.ref, command.version), tx.stored(sized.ref))
            for sized in differing
        )
        return restoration(turned, self._codec)


def _check_kept(head: Head, version: int) -> None:
    if not head.oldest_version <= version <= head.version:
        raise VersionNotFoundError.of(version, head.oldest_version, head.version)


def _version_page(reads: HistoryReads, before: int | None, limit: int) -> VersionPage:
    limit = page_items(limit)
    newest = reads.head().version if before is None else before - 1
    found = reads.published(VersionFilter(), newest, limit + 1)
    shown = found[: affordable(found[:limit])]
    hashes = hashes_of(reads, shown)
    versions = tuple(HashedVersion(one, hashes[one.version]) for one in shown)
    return VersionPage(versions, shown[-1].version if len(shown) < len(found) else None)
