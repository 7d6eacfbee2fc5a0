"""Deadlines before which a member that refused for quota or load is not called."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.router.core.model import SwitchPolicy
from services.router.core.shared_entry import Entry, Key, Kind

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
# A longer hint is more likely a mistake; the member is called again after a day.
LONGEST_HINT_S = 86_400.0
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class QuotaDeadline:
    """When a member that refused may be called again.

    Attributes:
        hint_s: What the provider asked for, in seconds; None when it gave no hint.
        streak: Refusals without a hint in a row; each doubles the pause.
    """

    until: datetime
    hint_s: float | None
    streak: int = 0


def after_refusal(
    before: QuotaDeadline | None, hint_s: float | None, now: datetime
) -> QuotaDeadline:
    """The deadline after a refusal for quota or load; never earlier than ``before``."""
    if hint_s is not None:
        until = now + timedelta(seconds=min(hint_s, LONGEST_HINT_S))
        return later(before, QuotaDeadline(until, hint_s))
    if before is not None and now < before.until:
        # Refusals of concurrent calls count as one.
        return before
    streak = 1 if before is None else before.streak + 1
    pause_s = min(FIRST_PAUSE_S * 2.0 ** min(streak - 1, 16), LONGEST_PAUSE_S)
    return QuotaDeadline(now + timedelta(seconds=pause_s), None, streak)


def later(before: QuotaDeadline | None, other: QuotaDeadline) -> QuotaDeadline:
    """The deadline that ends later; ``before`` if both end together."""
    return other if before is None or before.until < other.until else before


def until_reset(reset_at: datetime, now: datetime) -> QuotaDeadline:
    """The deadline of a member of whose quota nothing remains until ``reset_at``."""
    left_s = (reset_at - now).total_seconds()
    return QuotaDeadline(now + timedelta(seconds=min(left_s, LONGEST_HINT_S)), left_s)


def after_success(before: QuotaDeadline | None, now: datetime) -> QuotaDeadline | None:
    """The deadline after a complete answer: ``before`` while it has not passed, else None."""
    return before if before is not None and now < before.until else None


def deadline_entry(
    key: Key, before: Entry[QuotaDeadline] | None, after: QuotaDeadline
) -> Entry[QuotaDeadline]:
    """The deadline as the replicas share it: after the same reset, the later one wins."""
    reset_at = _NEVER if before is None else before.changed_at
    return Entry(Kind.QUOTA_DEADLINE, key, after, reset_at, after.until, after.until)


def justifies_failover(hint_s: float | None, switch: SwitchPolicy) -> bool:
    """Whether a refusal with this hint fails over; no hint counts as a long one."""
    if not switch.on_quota:
        return False
    return switch.quota_threshold_s is None or hint_s is None or hint_s >= switch.quota_threshold_s


def sets_aside(deadline: QuotaDeadline | None, switch: SwitchPolicy, now: datetime) -> bool:
    """Whether sessions of a pool with this policy pass over the member until the deadline."""
    if deadline is None or deadline.until <= now:
        return False
    return justifies_failover(deadline.hint_s, switch)
