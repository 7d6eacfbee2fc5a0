"""What the use cases about the past need of the store, beside what ``ports`` has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar

from services.registry.core.model import Kind, Ref
from services.registry.core.ports import RegistryReads, RegistryTx, Sized

T = TypeVar("T")


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
    """What a content hash is taken over: one content of one resource, and how long it was there.

    Attributes:
        valid_to: The first version without it; None while there is none.
    """

    kind: int
    id: str
    valid_from: int
    valid_to: int | None
    content_hash: bytes


class ChangeKey(NamedTuple):
    """One change of one resource; in this order backwards they are listed."""

    version: int
    ref: Ref


@dataclass(frozen=True, slots=True)
class SizedChange:
    """A change that may be sent, and what its contents before and after cost."""

    key: ChangeKey
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Span:
    """The versions from ``oldest`` to ``newest``, both included."""

    oldest: int
    newest: int


class HistoryReads(RegistryReads, Protocol):
    def published(
        self, which: VersionFilter, newest: int, limit: int
    ) -> Sequence[PublishedVersion]:
        """Versions that are kept, from ``newest`` backwards."""

    def published_first(self, limit: int) -> Sequence[PublishedVersion]:
        """Versions that are kept, from the oldest on."""

    def unhashed(self, limit: int) -> Sequence[PublishedVersion]:
        """Versions without a content hash, newest first."""

    def entries(self, span: Span) -> Sequence[Entry]:
        """All contents that were in one of these versions, by kind, id and time."""

    def differing(self, older: int, newer: int, after: Ref | None, limit: int) -> Sequence[Sized]:
        """What has not the same content in both versions, by kind and id, after ``after``."""

    def changes_in(
        self, span: Span, kind: Kind | None, before: ChangeKey, limit: int
    ) -> Sequence[SizedChange]:
        """What these versions changed, backwards from ``before``, which is not included."""

    def changes_of(
        self, ref: Ref, which: VersionFilter, newest: int, limit: int
    ) -> Sequence[SizedChange]:
        """What versions up to ``newest`` changed of one resource, newest first."""


class HistoryTx(RegistryTx, HistoryReads, Protocol):
    def keep_hashes(self, hashes: Mapping[int, bytes]) -> None:
        """Write down content hashes of versions; of those that are gone meanwhile nothing."""

    def retire(self, oldest_version: int) -> None:
        """Keep no version before this one."""

    def sweep(self, limit: int) -> int:
        """Delete up to ``limit`` contents that no kept version needs; answers how many.

        The entry of the oldest kept version tells what it replaced, so that is needed.
        """


class HistoryStore(Protocol):
    async def write(self, fn: Callable[[HistoryTx], T]) -> T: ...

    async def read(self, fn: Callable[[HistoryReads], T]) -> T: ...
