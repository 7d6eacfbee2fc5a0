"""Lists of runs, threads and messages: which entries a page has, and where the next one begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Generic, Protocol, TypeVar

from services.runcontrol.core.limits import DEFAULT_PAGE, PART_CHARS
from services.runcontrol.core.model import Dispatch, Run, RunState, StoredMessage, Thread

# Of one page: how many entries are looked at, and about how large it gets.
MAX_SCANNED = 2_000
MAX_PAGE_BYTES = 1024 * 1024
_BATCH = 200

E = TypeVar("E")
K = TypeVar("K")

# Creation or use, and id, of the last entry of a page.
Place = tuple[datetime, str]
OLDEST: Place = (datetime(1970, 1, 1, tzinfo=UTC), "")
NEWEST: Place = (datetime(9999, 12, 31, tzinfo=UTC), "")


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs to list, newest first; an empty value matches every run.

    Attributes:
        since: Those that were accepted at this time or later.
        until: Those that were accepted before this time.
        before: Place of the last run of the page before.
    """

    thread_id: str = ""
    agent_id: str = ""
    submitted_by: str = ""
    states: frozenset[RunState] = frozenset()
    labels: tuple[tuple[str, str], ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    limit: int = DEFAULT_PAGE
    before: Place = NEWEST

    def matches(self, run: Run) -> bool:
        return (
            self.agent_id in ("", run.agent_id)
            and self.submitted_by in ("", run.principal)
            and (not self.states or run.state in self.states)
            and set(self.labels) <= set(run.labels)
            and (self.until is None or run.created_at < self.until)
        )


@dataclass(frozen=True, slots=True)
class ThreadQuery:
    """Which threads to list, most recently used first."""

    limit: int = DEFAULT_PAGE
    before: Place = NEWEST


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Which messages of a thread to list, oldest first; an empty run matches all."""

    BEGINNING: ClassVar[int] = 0

    thread_id: str
    run_id: str = ""
    limit: int = DEFAULT_PAGE
    after: int = BEGINNING


@dataclass(frozen=True, slots=True)
class CallQuery:
    """Which call to read, and behind how many characters the parts of its texts begin."""

    run_id: str
    call_id: str
    arguments_from: int = 0
    result_from: int = 0


@dataclass(frozen=True, slots=True)
class ThreadView:
    """A thread, and how many of its dispatches wait for their turn."""

    thread: Thread
    queued: int


@dataclass(frozen=True, slots=True)
class Page(Generic[E, K]):
    """Entries of a list; ``following`` is where the next page begins, None when there is none."""

    entries: tuple[E, ...]
    following: K | None = None


class Lists(Protocol):
    """The reads that lists are made of."""

    def runs(self, tenant: str, thread_id: str, before: Place, limit: int) -> list[Run]:
        """Runs, of one thread or of all when that is empty, newest first."""

    def threads(self, tenant: str, before: Place, limit: int) -> list[ThreadView]:
        """Threads, most recently used first."""

    def dead(self, tenant: str, thread_id: str, after: Place, limit: int) -> list[Dispatch]:
        """Dead letters that were not redriven, of one thread or of all, oldest first."""

    def messages(self, tenant: str, query: MessageQuery) -> list[StoredMessage]:
        """One message more than the page, if there are so many."""


def page_of_runs(lists: Lists, tenant: str, query: RunQuery) -> Page[Run, Place]:
    """The runs of a page; it may have fewer than the limit and yet be followed by another."""
    found: list[Run] = []
    at, scanned, size_bytes = query.before, 0, 0
    while scanned < MAX_SCANNED:
        batch = lists.runs(tenant, query.thread_id, at, _BATCH)
        for run in batch:
            if query.since is not None and run.created_at < query.since:
                return Page(tuple(found))
            at = (run.created_at, run.run_id)
            if query.matches(run):
                found.append(run)
                size_bytes += len(run.output_text[:PART_CHARS].encode())
            if len(found) == query.limit or size_bytes >= MAX_PAGE_BYTES:
                return Page(tuple(found), at)
        if len(batch) < _BATCH:
            return Page(tuple(found))
        scanned += len(batch)
    return Page(tuple(found), at)


def page_of_threads(lists: Lists, tenant: str, query: ThreadQuery) -> Page[ThreadView, Place]:
    found = lists.threads(tenant, query.before, query.limit + 1)
    if len(found) <= query.limit:
        return Page(tuple(found))
    last = found[query.limit - 1].thread
    return Page(tuple(found[: query.limit]), (last.updated_at, last.thread_id))


def page_of_messages(lists: Lists, tenant: str, query: MessageQuery) -> Page[StoredMessage, int]:
    found = lists.messages(tenant, query)
    fitting = _fitting(found[: query.limit], lambda each: sum(map(_size, each.message.parts)))
    if len(fitting) == len(found):
        return Page(tuple(found))
    return Page(tuple(fitting), fitting[-1].seq)


def _fitting(entries: Iterable[E], size_of: Callable[[E], int]) -> list[E]:
    """The first entries, up to the one with which a page is full."""
    taken: list[E] = []
    size_bytes = 0
    for entry in entries:
        taken.append(entry)
        size_bytes += size_of(entry)
        if size_bytes >= MAX_PAGE_BYTES:
            break
    return taken


def _size(part: object) -> int:
    """About the size of a part in a message."""
    texts = (getattr(part, name, "") for name in ("text", "content", "arguments_json"))
    return sum(len(text.encode()) for text in texts)
