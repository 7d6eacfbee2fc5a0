"""What a watcher is owed: a pure function of the head and of what it has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.registry.core.cutting import PART_BYTES, PART_ITEMS, cut
from services.registry.core.model import Ref
from services.registry.core.ports import Head, RegistryReads, Stored

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
        """The oldest one it is made of."""
        return self.from_version or self.to_version


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a net change, small enough for one message.

    Attributes:
        items: What is new or differs, and the names of what is no more, by kind and id.
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
class Alive:
    """Nothing happened for a while; the watcher has everything up to ``version``."""

    version: int


@dataclass(frozen=True, slots=True)
class Stopping:
    """The server drains; nothing follows."""

    version: int


Frame = ChangePart | Alive | Stopping


@dataclass(frozen=True, slots=True)
class Position:
    """What a watcher says that it has; an empty lineage is not compared."""

    version: int
    incarnation: str = ""
    lineage: str = ""


class Streams(Protocol):
    """The long answers, as the wire face needs them."""

    def snapshot(self, version: int | None) -> AsyncGenerator[SnapshotPart, None]: ...

    def watch(self, has: Position) -> AsyncGenerator[Frame, None]: ...

    async def incarnation(self) -> str: ...


def resume_from(head: Head, has: Position, lineage: str | None) -> int:
    """The version a watcher really has; 0 when nothing can be built on what it has.

    Args:
        lineage: Of the version it names; None when that is not kept.
    """
    if has.incarnation != head.incarnation or not _is_kept(head, has.version):
        return WHOLE
    # The database may have been put back and published to since: the number is another version's.
    return has.version if has.lineage in {"", lineage} else WHOLE


def next_change(head: Head, has_version: int, lineage: str = "") -> NetChange | None:
    """What to send to a watcher that has ``has_version``; None when it has everything."""
    if has_version == head.version and lineage in {"", head.lineage}:
        return None
    # A slow watcher's version may be gone by now, or be another one since the database was put
    # back under it.
    if has_version == head.version or not _is_kept(head, has_version):
        return NetChange(WHOLE, head.version, head.lineage)
    return NetChange(has_version, head.version, head.lineage, lineage)


def _is_kept(head: Head, version: int) -> bool:
    return head.oldest_version <= version <= head.version


def read_part(reads: RegistryReads, change: NetChange, after: Ref | None) -> Part | None:
    """The part of ``change`` after ``after``; None when a version it is made of is no longer that.

    Versions never change, so that the parts of a change may be read one by one while newer ones
    are published. They may be retired meanwhile.
    """
    found = reads.changed(change.from_version, change.to_version, after, PART_ITEMS + 1)
    count = cut(found, PART_BYTES, PART_ITEMS)
    items = [reads.stored_at(sized.ref, change.to_version) or sized.ref for sized in found[:count]]
    # Last: if they are there now, they were while their rows were read, on any engine.
    if not _is_there(reads, change):
        return None
    return Part(items, found[count - 1].ref if count < len(found) else None)


def _is_there(reads: RegistryReads, change: NetChange) -> bool:
    if not _is_kept(reads.head(), change.oldest_version):
        return False
    ends = ((change.to_version, change.lineage), (change.from_version, change.from_lineage))
    return all(reads.lineage(version) == lineage for version, lineage in ends if lineage)
