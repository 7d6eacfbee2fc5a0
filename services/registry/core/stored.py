"""What the store keeps and is asked for, as values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from services.registry.core.refs import Kind, Ref, Target


@dataclass(frozen=True, slots=True)
class Head:
    """The current version, and what identifies its history.

    Attributes:
        incarnation: Chosen when the database was created; tells it from other databases.
        oldest_version: The first version that is still kept.
        lineage: Of the version; differs from that of the same number in another history.
    """

    version: int
    incarnation: str
    oldest_version: int = 1
    lineage: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """A resource as it is stored.

    Attributes:
        body: What ``ResourceCodec.encode`` made of its normalised form.
        since_version: The version that published this content.
    """

    ref: Ref
    content_hash: bytes
    since_version: int
    apply_set: str
    updated_at: datetime
    updated_by: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Existing:
    """What a change is compared with: the content and the apply set of an existing resource."""

    content_hash: bytes
    apply_set: str


@dataclass(frozen=True, slots=True)
class SizedRef:
    """A resource that may be sent, and its size; of a removed one the size of its id."""

    ref: Ref
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which resources; None and empty mean any."""

    kind: Kind | None
    apply_set: str
    after: Ref | None
    limit: int


@dataclass(frozen=True, slots=True)
class ReferenceQuery:
    """What a change has to know of the current snapshot.

    Attributes:
        targets: Ids whose kinds are looked up.
        vacated: Those whose dependents are looked up too.
    """

    targets: frozenset[Target]
    vacated: frozenset[Target]

    def parts(self, limit: int) -> Iterator[ReferenceQuery]:
        """The same in queries of at most ``limit`` targets; at least one."""
        targets = iter(self.targets)
        part = frozenset(islice(targets, limit))
        while True:
            yield ReferenceQuery(part, self.vacated & part)
            part = frozenset(islice(targets, limit))
            if not part:
                return


@dataclass(frozen=True, slots=True)
class ReferenceFacts:
    """The answer to ``ReferenceQuery``; what is not in a mapping does not exist."""

    kinds: Mapping[Target, frozenset[Kind]] = field(default_factory=dict)
    dependents: Mapping[Target, Sequence[Ref]] = field(default_factory=dict)

    @classmethod
    def merged(cls, parts: Iterable[ReferenceFacts]) -> ReferenceFacts:
        """The answer to a query from those to its parts."""
        kinds: dict[Target, frozenset[Kind]] = {}
        dependents: dict[Target, Sequence[Ref]] = {}
        for part in parts:
            kinds.update(part.kinds)
            dependents.update(part.dependents)
        return cls(kinds, dependents)


@dataclass(frozen=True, slots=True)
class ResourceWrite:
    """A resource to store, and the targets it refers to."""

    ref: Ref
    content_hash: bytes
    apply_set: str
    body: bytes
    targets: frozenset[Target]


@dataclass(frozen=True, slots=True)
class Publication:
    """One new version.

    Attributes:
        restored_from: The version whose content it restores; None for all but rollbacks.
    """

    version: int
    upserts: Sequence[ResourceWrite]
    removed: Sequence[Ref]
    at: datetime
    by: str
    method: str
    request_id: str
    restored_from: int | None = None

    def recorded(self, lineage: str) -> PublishedVersion:
        """The record of the version; its content hash is computed later."""
        return PublishedVersion(
            self.version,
            self.at,
            self.by,
            self.method,
            self.request_id,
            len(self.upserts) + len(self.removed),
            self.restored_from,
            None,
            lineage,
        )


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """A version that is kept.

    Attributes:
        content_hash: None until it has been computed.
        lineage: Empty for versions made before there was one.
    """

    version: int
    at: datetime
    by: str
    method: str
    request_id: str
    change_count: int
    restored_from: int | None
    content_hash: bytes | None
    lineage: str


@dataclass(frozen=True, slots=True)
class VersionFilter:
    """Which versions; empty and None mean any. ``since`` is inclusive, ``until`` is not."""

    actor: str = ""
    since: datetime | None = None
    until: datetime | None = None


class Entry(NamedTuple):
    """Input of a content hash: one content of one resource, and the versions that have it.

    Attributes:
        valid_to: The first version without it; None while there is none.
    """

    kind: int
    id: str
    valid_from: int
    valid_to: int | None
    content_hash: bytes


class ChangeKey(NamedTuple):
    """Identifies one change of one resource; changes are listed in descending order of it."""

    version: int
    ref: Ref


@dataclass(frozen=True, slots=True)
class SizedChange:
    """A change that may be sent, and the size of its contents before and after."""

    key: ChangeKey
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Span:
    """The versions from ``oldest`` to ``newest``, both included."""

    oldest: int
    newest: int


# Part of every lineage: a change of this form must not pass for the same history.
_FORM = b"runyard.registry.lineage/1\n"
_BYTES = 16


def next_lineage(previous: str, publication: Publication) -> str:
    """The lineage of ``publication``, which follows a version with lineage ``previous``."""
    digest = hashlib.sha256(_FORM)
    for text in (
        previous,
        str(publication.version),
        publication.at.isoformat(),
        publication.by,
        publication.method,
        publication.request_id,
    ):
        _add(digest, text.encode("utf-8"))
    for written in publication.upserts:
        _add(digest, b"%d\0%s" % (written.ref.kind, written.ref.id.encode("utf-8")))
        _add(digest, written.content_hash)
    for ref in publication.removed:
        _add(digest, b"-%d\0%s" % (ref.kind, ref.id.encode("utf-8")))
    return digest.digest()[:_BYTES].hex()


def _add(digest: hashlib._Hash, field: bytes) -> None:
    # With its length: no two histories may make the same bytes.
    digest.update(b"%d:" % len(field) + field)
