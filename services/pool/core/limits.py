"""The limits of requests, which ``GetServerInfo`` reports, and the checks of commands by them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from services.chassis.errors import Violation
from services.pool.core.events import WakeCondition
from services.pool.core.inboxes import FetchCommand
from services.pool.core.model import Answer, Content, Correlation, Draft, InlineBody

# Of all repeated fields of a request.
MAX_ENTRIES = 16_384
MAX_BODY_BYTES = 65_536
MAX_MEDIA_TYPE_BYTES = 255
MAX_DIGEST_BYTES = 64
MAX_TOPICS = 64
MAX_POLICIES = 64
MAX_CORRELATION = 16
MAX_FILTERS = 16
MAX_FILTER_VALUES = 64
MAX_AFTER_MATCHES = 64
# A wake is answered as a whole, and every client accepts answers of up to 4 MiB.
MAX_CONDITION_BYTES = 1_048_576
MAX_FETCH = 64
MAX_PAGE = 500

DEFAULT_FETCH = 16
DEFAULT_PAGE = 50
DEFAULT_LEASE = timedelta(seconds=30)
MIN_LEASE = timedelta(seconds=1)
MAX_LEASE = timedelta(hours=12)
# About 30 years: keeps a deadline below the year 9999, the last that a time can hold.
MAX_TIMEOUT = timedelta(seconds=1_000_000_000)


def page_limit(wanted: int) -> int:
    """How many entries a page holds; the default unless ``wanted`` is positive."""
    return min(wanted, MAX_PAGE) if wanted > 0 else DEFAULT_PAGE


def fetch_limit(wanted: int, named: int) -> int:
    """How many deliveries to fetch; without ``wanted`` as many as are named, or the default."""
    return min(wanted or named or DEFAULT_FETCH, MAX_FETCH)


def draft_violations(draft: Draft, at: str) -> Iterator[Violation]:
    """What is wrong with the values of a draft whose fields could be decoded, at path ``at``."""
    yield from _content_violations(draft.content, f"{at}.content")
    yield from _correlation_violations(draft.correlation, f"{at}.correlation")
    if draft.contract is not None and draft.contract.expected_responses < 1:
        yield Violation(f"{at}.response_contract.expected_responses", "must be at least 1")


def answer_violations(answer: Answer) -> Iterator[Violation]:
    """What is wrong with the values of an answer whose fields could be decoded."""
    yield from _content_violations(answer.content, "content")
    yield from _correlation_violations(answer.correlation or (), "correlation")


def fetch_violations(command: FetchCommand) -> Iterator[Violation]:
    if not MIN_LEASE <= command.lease <= MAX_LEASE:
        yield Violation("lease", "must be from 1 s to 12 h")


def condition_violations(condition: WakeCondition, at: str, size_bytes: int) -> Iterator[Violation]:
    """What is wrong with the values of a condition whose fields could be decoded, at path ``at``.

    Args:
        size_bytes: Of the condition as it was sent.
    """
    if size_bytes > MAX_CONDITION_BYTES:
        yield Violation(at, f"is {size_bytes:,} bytes, at most {MAX_CONDITION_BYTES:,} are allowed")
    if condition.after_matches > MAX_AFTER_MATCHES:
        yield Violation(f"{at}.after_matches", f"must be at most {MAX_AFTER_MATCHES}")


def _content_violations(content: Content, field: str) -> Iterator[Violation]:
    if not isinstance(content, InlineBody):
        return
    if not 1 <= len(content.media_type.encode()) <= MAX_MEDIA_TYPE_BYTES:
        yield Violation(f"{field}.media_type", f"must be 1 to {MAX_MEDIA_TYPE_BYTES} bytes")
    elif not content.media_type.isprintable():
        yield Violation(f"{field}.media_type", "must not contain control characters")


def _correlation_violations(entries: tuple[Correlation, ...], field: str) -> Iterator[Violation]:
    if len({each.key for each in entries}) < len(entries):
        yield Violation(field, "has a key twice")
