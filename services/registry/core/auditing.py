"""Who changed what, derived from the versions that are kept: what they brought and ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.registry.core.applying import Action
from services.registry.core.cutting import MAX_PAIRS, PAGE_BYTES, cut, page_items
from services.registry.core.history_ports import (
    ChangeKey,
    HistoryReads,
    PublishedVersion,
    SizedChange,
    Span,
    VersionFilter,
)
from services.registry.core.model import Kind, Ref
from services.registry.core.ports import Stored

# Versions per read, and changes that one page looks at before it goes out as it is.
_VERSIONS_PER_READ = 256
_LOOKED_AT_PER_PAGE = 50_000
_LOOKED_AT_PER_SPAN = 10_000

_ANY_VERSION = VersionFilter()
# Before everything else that one version changed.
FIRST_REF = Ref(Kind.PROVIDER, "")


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries; None and empty mean any.

    Attributes:
        before: Where the page begins, not included.
    """

    kind: Kind | None = None
    id: str = ""
    which: VersionFilter = field(default_factory=VersionFilter)
    before: ChangeKey | None = None
    limit: int = 0


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change of one resource; ``before`` and ``after`` are not both None."""

    version: PublishedVersion
    ref: Ref
    before: Stored | None
    after: Stored | None

    @property
    def action(self) -> Action:
        if self.before is None:
            return Action.CREATED
        return Action.UPDATED if self.after is not None else Action.REMOVED


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Newest first; ``next_before`` is where the next page begins, None on the last."""

    entries: tuple[AuditEntry, ...]
    next_before: ChangeKey | None


def audit_page(reads: HistoryReads, query: AuditQuery) -> AuditPage:
    """A page of at most ``query.limit`` entries and 3 MiB."""
    limit = page_items(query.limit, MAX_PAIRS)
    before = query.before or ChangeKey(reads.head().version + 1, FIRST_REF)
    search = _Search(reads, query, before, limit + 1)
    found = search.by_id() if query.id else search.by_version()
    count = cut(found, PAGE_BYTES, limit)
    entries = tuple(_entry(reads, change.key, search.versions) for change in found[:count])
    return AuditPage(entries, found[count - 1].key if count < len(found) else search.resume)


def _entry(
    reads: HistoryReads, key: ChangeKey, known: Mapping[int, PublishedVersion]
) -> AuditEntry:
    version, ref = key
    facts = known.get(version) or reads.published(_ANY_VERSION, version, 1)[0]
    return AuditEntry(facts, ref, reads.stored_at(ref, version - 1), reads.stored_at(ref, version))


class _Search:
    """Looks for up to ``limit`` changes before a key.

    Attributes:
        versions: Those it came across.
        resume: Where to look on when it stopped early; None when there is nothing more to look at.
    """

    def __init__(
        self, reads: HistoryReads, query: AuditQuery, before: ChangeKey, limit: int
    ) -> None:
        self._reads = reads
        self._query = query
        self._before = before
        self._limit = limit
        self.versions: dict[int, PublishedVersion] = {}
        self.resume: ChangeKey | None = None

    def by_id(self) -> Sequence[SizedChange]:
        """The past of every kind of that id, straight from its rows."""
        kinds = [self._query.kind] if self._query.kind else list(Kind)
        found = [
            change
            for kind in kinds
            # One more: the first may be one that was listed already.
            for change in self._reads.changes_of(
                Ref(kind, self._query.id), self._query.which, self._before.version, self._limit + 1
            )
            if change.key < self._before
        ]
        return sorted(found, key=lambda change: change.key, reverse=True)[: self._limit]

    def by_version(self) -> Sequence[SizedChange]:
        """What fitting versions changed, from the newest on."""
        found: list[SizedChange] = []
        looked_at = 0
        for span, changes in self._spans():
            found += self._changes(span, self._limit - len(found))
            if len(found) == self._limit:
                break
            looked_at += changes
            if looked_at >= _LOOKED_AT_PER_PAGE:
                self.resume = ChangeKey(span.oldest, FIRST_REF)
                break
        return found

    def _changes(self, span: Span, limit: int) -> Sequence[SizedChange]:
        return self._reads.changes_in(span, self._query.kind, self._before, limit)

    def _spans(self) -> Iterator[tuple[Span, int]]:
        # Where every change is an entry, a page needs no more than it has room for.
        most = _LOOKED_AT_PER_SPAN if self._query.kind else self._limit
        newest = self._before.version
        while newest:
            versions = self._reads.published(self._query.which, newest, _VERSIONS_PER_READ)
            self.versions |= {one.version: one for one in versions}
            yield from spans(versions, most)
            newest = versions[-1].version - 1 if versions else 0


def spans(versions: Sequence[PublishedVersion], most: int) -> Iterator[tuple[Span, int]]:
    """Runs of numbers without a gap and what they changed, newest first.

    A run ends with the version with which it has ``most`` changes.
    """
    newest, changes = 0, 0
    for index, version in enumerate(versions):
        newest = newest or version.version
        changes += version.change_count
        is_last = index + 1 == len(versions)
        if is_last or changes >= most or versions[index + 1].version != version.version - 1:
            yield Span(version.version, newest), changes
            newest, changes = 0, 0
