"""What to send to a watcher, by the head and by the version that it has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.registry.core.paging import PART_BYTES, PART_ITEMS, count_that_fits
from services.registry.core.ports import Reads
from services.registry.core.refs import Ref
from services.registry.core.stored import Head, Stored

WHOLE = 0


@dataclass(frozen=True, slots=True)
class NetChange:
    """From one version to another; from 0 it is the whole snapshot.

    Attributes:
        lineage: Of ``to_version``.
        from_lineage: Of ``from_version``; an empty one is not compared.
    """

    from_version: int
    to_version: int
    lineage: str = ""
    from_lineage: str = ""

    @property
    def oldest_version(self) -> int:
        """The oldest version it is computed from."""
        return self.from_version or self.to_version


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a net change, small enough for one message.

    Attributes:
        items: New and changed resources, and the names of removed ones, by kind and id.
        next_after: Where the next part begins; None on the last.
    """

    items: Sequence[Stored | Ref]
    next_after: Ref | None


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """A version that is kept."""

    version: int
    incarnation: str
    content_hash: bytes
    lineage: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotPart:
    """A piece of a whole snapshot; ``number`` counts from 0."""

    facts: SnapshotFacts
    number: int
    last: bool
    resources: tuple[Stored, ...]


@dataclass(frozen=True, slots=True)
class ChangePart:
    """A piece of a net change; ``number`` counts from 0."""

    change: NetChange
    number: int
    part: Part


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Sent when nothing has changed for a while; the watcher has everything up to ``version``."""

    version: int


@dataclass(frozen=True, slots=True)
class Reconnect:
    """The server drains: the last frame of a watch."""

    version: int


Frame = ChangePart | Heartbeat | Reconnect


@dataclass(frozen=True, slots=True)
class Position:
    """The version that a watcher claims to have; an empty lineage is not compared."""

    version: int
    incarnation: str = ""
    lineage: str = ""


class Streams(Protocol):
    """The streams that the servicer serves."""

    def snapshot(self, version: int | None) -> AsyncGenerator[SnapshotPart, None]: ...

    def watch(self, has: Position) -> AsyncGenerator[Frame, None]: ...

    async def incarnation(self) -> str: ...


def resume_from(head: Head, has: Position, lineage: str | None) -> int:
    """The version to send changes from; 0 when the watcher needs the whole snapshot.

    Args:
        lineage: Of the version it names; None when that is not kept.
    """
    if has.incarnation != head.incarnation or not _is_kept(head, has.version):
        return WHOLE
    # After a restore of the database, the same number may belong to another version.
    return has.version if has.lineage in {"", lineage} else WHOLE


def next_change(head: Head, has_version: int, lineage: str = "") -> NetChange | None:
    """What to send to a watcher that has ``has_version``; None when it has everything."""
    if has_version == head.version and lineage in {"", head.lineage}:
        return None
    # The version of a slow watcher may have been removed, or have been replaced by another one of
    # the same number when the database was restored.
    if has_version == head.version or not _is_kept(head, has_version):
        return NetChange(WHOLE, head.version, head.lineage)
    return NetChange(has_version, head.version, head.lineage, lineage)


def _is_kept(head: Head, version: int) -> bool:
    return head.oldest_version <= version <= head.version


def read_part(reads: Reads, change: NetChange, after: Ref | None) -> Part | None:
    """The part of ``change`` after ``after``; None when one of its versions is gone or replaced.

    Versions never change, so that the parts of a change may be read one by one while newer ones
    are published. They may be retired meanwhile.
    """
    found = reads.changed(change.from_version, change.to_version, after, PART_ITEMS + 1)
    count = count_that_fits(found, PART_BYTES, PART_ITEMS)
    items = [reads.stored_at(sized.ref, change.to_version) or sized.ref for sized in found[:count]]
    # Checked last: what is intact now was intact while its rows were read, on any engine.
    if not _is_intact(reads, change):
        return None
    return Part(items, found[count - 1].ref if count < len(found) else None)


def _is_intact(reads: Reads, change: NetChange) -> bool:
    if not _is_kept(reads.head(), change.oldest_version):
        return False
    ends = ((change.to_version, change.lineage), (change.from_version, change.from_lineage))
    return all(reads.lineage(version) == lineage for version, lineage in ends if lineage)
