"""The audit log, derived from the kept versions and what each of them changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.registry.core.changes.publishing import Action
from services.registry.core.paging import MAX_PAIRS, PAGE_BYTES, count_that_fits, page_items
from services.registry.core.ports import Reads
from services.registry.core.refs import Kind, Ref
from services.registry.core.stored import (
    ChangeKey,
    PublishedVersion,
    SizedChange,
    Span,
    Stored,
    VersionFilter,
)

# Versions per read, and changes that are searched for one page before it is sent incomplete.
_VERSIONS_PER_READ = 256
_SEARCHED_PER_PAGE = 50_000
_SEARCHED_PER_SPAN = 10_000

_ANY_VERSION = VersionFilter()
# Sorts before every resource.
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


def audit_page(reads: Reads, query: AuditQuery) -> AuditPage:
    """A page of at most ``query.limit`` entries and 3 MiB."""
    limit = page_items(query.limit, MAX_PAIRS)
    before = query.before or ChangeKey(reads.head().version + 1, FIRST_REF)
    search = _Search(reads, query, before, limit + 1)
    found = search.by_id() if query.id else search.by_version()
    count = count_that_fits(found, PAGE_BYTES, limit)
    entries = tuple(_entry(reads, change.key, search.versions) for change in found[:count])
    return AuditPage(entries, found[count - 1].key if count < len(found) else search.resume)


def _entry(reads: Reads, key: ChangeKey, known: Mapping[int, PublishedVersion]) -> AuditEntry:
    version, ref = key
    facts = known.get(version) or reads.published(_ANY_VERSION, version, 1)[0]
    return AuditEntry(facts, ref, reads.stored_at(ref, version - 1), reads.stored_at(ref, version))


class _Search:
    """Looks for up to ``limit`` changes before a key.

    Attributes:
        versions: Those read so far, by number.
        resume: Where the next page goes on after an early stop; None when everything was searched.
    """

    def __init__(self, reads: Reads, query: AuditQuery, before: ChangeKey, limit: int) -> None:
        self._reads = reads
        self._query = query
        self._before = before
        self._limit = limit
        self.versions: dict[int, PublishedVersion] = {}
        self.resume: ChangeKey | None = None

    def by_id(self) -> Sequence[SizedChange]:
        """The changes of that id, in every kind, read from the rows of the resource."""
        kinds = [self._query.kind] if self._query.kind else list(Kind)
        found = [
            change
            for kind in kinds
            # One more, since the first may be on the page before.
            for change in self._reads.changes_of(
                Ref(kind, self._query.id), self._query.which, self._before.version, self._limit + 1
            )
            if change.key < self._before
        ]
        return sorted(found, key=lambda change: change.key, reverse=True)[: self._limit]

    def by_version(self) -> Sequence[SizedChange]:
        """The changes of matching versions, newest first."""
        found: list[SizedChange] = []
        searched = 0
        for span, changes in self._spans():
            found += self._changes(span, self._limit - len(found))
            if len(found) == self._limit:
                break
            searched += changes
            if searched >= _SEARCHED_PER_PAGE:
                self.resume = ChangeKey(span.oldest, FIRST_REF)
                break
        return found

    def _changes(self, span: Span, limit: int) -> Sequence[SizedChange]:
        return self._reads.changes_in(span, self._query.kind, self._before, limit)

    def _spans(self) -> Iterator[tuple[Span, int]]:
        # Where every change is an entry, a page needs no more than it has room for.
        most = _SEARCHED_PER_SPAN if self._query.kind else self._limit
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
