"""What the use cases need from outside, in the words of the domain."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from services.chassis.caller import Principal, RequestKey, RequestLog
from services.registry.core.applying import Held
from services.registry.core.model import Kind, Ref, Resource, Target
from services.registry.core.validating import Surroundings, Wanted

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asks, by which call and under which key; what the audit columns hold."""

    principal: Principal
    method: str
    request: RequestKey | None = None

    @property
    def actor(self) -> str:
        return self.principal.subject


@dataclass(frozen=True, slots=True)
class Head:
    """Where the registry is.

    Attributes:
        incarnation: Made when the database was; tells a wiped one from an old cursor.
        oldest_version: The first version that is still kept.
        lineage: Of the version; tells it from one of the same number in another history.
    """

    version: int
    incarnation: str
    oldest_version: int = 1
    lineage: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """A resource as it is kept.

    Attributes:
        body: What ``ResourceCodec.encode`` made of its normalised form.
        since_version: The version that brought this content.
    """

    ref: Ref
    content_hash: bytes
    since_version: int
    apply_set: str
    updated_at: datetime
    updated_by: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Sized:
    """A resource that may be sent, and what it costs; removed ones cost their name."""

    ref: Ref
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Written:
    """A resource to be kept, and the ids it refers to."""

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
    upserts: Sequence[Written]
    removed: Sequence[Ref]
    at: datetime
    by: str
    method: str
    request_id: str
    restored_from: int | None = None


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which resources; None and empty mean any."""

    kind: Kind | None
    apply_set: str
    after: Ref | None
    limit: int


class ResourceCodec(Protocol):
    """Bytes of a resource, readable by every later version of the registry."""

    def encode(self, resource: Resource) -> bytes: ...

    def decode(self, body: bytes) -> Resource: ...


class RegistryReads(Protocol):
    """What a transaction tells; of the current version unless it says otherwise."""

    def head(self) -> Head: ...

    def held(self, refs: Iterable[Ref]) -> Mapping[Ref, Held]:
        """Those of ``refs`` that exist."""

    def marked(self, apply_set: str) -> Sequence[Ref]:
        """What carries the mark."""

    def surroundings(self, wanted: Wanted) -> Surroundings:
        """What exists under each target, and who refers to the vacated ones."""

    def dependents(self, targets: Iterable[Target]) -> Collection[Ref]:
        """Who refers to any of them, without doubles."""

    def stored(self, ref: Ref) -> Stored | None: ...

    def stored_at(self, ref: Ref, version: int) -> Stored | None:
        """As it was in ``version``, which must be kept."""

    def listed(self, query: ListQuery) -> Sequence[Sized]:
        """By kind and id, after ``query.after``, at most ``query.limit``."""

    def changed(
        self, from_version: int, to_version: int, after: Ref | None, limit: int
    ) -> Sequence[Sized]:
        """What differs between two versions, by kind and id, after ``after``.

        With ``from_version`` 0: everything in ``to_version``. What changed and changed back may be
        among it.
        """

    def lineage(self, version: int) -> str | None:
        """Of a version that is kept; None for any other."""

    def snapshot_hash(self, version: int) -> bytes | None:
        """Content hash of a version that is kept; None for any other.

        Never computed by a mutation, which costs what it changes, not what there is.
        """


class RegistryTx(RegistryReads, RequestLog, Protocol):
    """A write transaction: it has the head to itself from ``lock_head`` to its end."""

    def lock_head(self) -> Head: ...

    def publish(self, publication: Publication) -> None:
        """Make a version; its watchers are woken when it is durable."""

    def adopt(self, refs: Collection[Ref], apply_set: str) -> None:
        """Change the marks of current resources: no content, so no version."""


class RegistryStore(Protocol):
    async def write(self, fn: Callable[[RegistryTx], T]) -> T: ...

    async def read(self, fn: Callable[[RegistryReads], T]) -> T: ...
