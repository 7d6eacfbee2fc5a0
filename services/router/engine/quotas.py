"""What this process knows of the quotas of providers, per account and upstream model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.router.core.failures import QUOTA, Failure
from services.router.core.model import Member, QuotaKey
from services.router.core.quota import (
    QuotaDeadline,
    after_refusal,
    after_success,
    deadline_entry,
    later,
    until_reset,
)
from services.router.core.quota_windows import QuotaWindow, exhausted_until, live, merged
from services.router.core.routing_change import ModelChanged
from services.router.core.shared_entry import (
    Changes,
    Entry,
    Key,
    Kind,
    Unheard,
    ended,
    later_than,
)

# Accounts are few, yet a registry may change for years.
CAPACITY = 10_000


class Quotas:
    """Synchronous; at ``CAPACITY`` what has passed is forgotten. Replicas share the deadlines.

    Attributes:
        deadlines: By ``Member.quota_key``, to read; they may have passed.
        windows: Those that answers told of, by the same key, to read; they may have been reset.
    """

    def __init__(self, changes: Changes | None = None) -> None:
        self._changes = changes or Unheard()
        # When operators reset them; a deadline of another replica counts if it knows of that.
        self._reset_at: dict[Key, datetime] = {}
        self.deadlines: dict[QuotaKey, QuotaDeadline] = {}
        self.windows: dict[QuotaKey, tuple[QuotaWindow, ...]] = {}

    def refused(self, member: Member, failure: Failure, now: datetime) -> None:
        """Set the deadline that a failure asks for; failures of other kinds just tell of limits.

        The hint of a refusal is more exact than the windows beside it.
        """
        if failure.kind not in QUOTA:
            self.told(member, failure.windows, now)
            return
        before = self.deadlines.get(member.quota_key)
        self._put(member.quota_key, after_refusal(before, failure.retry_after_s, now), now)
        self._keep(member.quota_key, failure.windows, now)

    def told(self, member: Member, windows: Sequence[QuotaWindow], now: datetime) -> None:
        """Keep what an answer tells of the limits; if nothing remains of one, set the deadline to
        its reset.
        """
        self._keep(member.quota_key, windows, now)
        reset_at = exhausted_until(windows)
        if reset_at is not None:
            self.merge(member.quota_key, until_reset(reset_at, now), now)

    def answered(self, member: Member, now: datetime) -> None:
        """End the streak of refusals without a hint; a deadline that has not passed stays."""
        before = self.deadlines.get(member.quota_key)
        if before is not None and after_success(before, now) is None:
            del self.deadlines[member.quota_key]

    def merge(self, key: QuotaKey, deadline: QuotaDeadline, now: datetime) -> None:
        """Take over a deadline that was learned elsewhere, unless the one here ends later."""
        self._put(key, later(self.deadlines.get(key), deadline), now)

    def reset(self, member: Member, now: datetime) -> None:
        """Forget the deadline and the windows, on all replicas."""
        at = later_than(self._reset_at.get(member.quota_key), now)
        end: Entry[QuotaDeadline] = ended(Kind.QUOTA_DEADLINE, member.quota_key, at)
        self._changes.store(end)
        self.take(end)

    def take(self, entry: Entry[QuotaDeadline]) -> None:
        """Take in the deadline of another replica, or its end by a reset."""
        provider_id, revision, upstream_model = entry.key
        key, deadline = (provider_id, revision, upstream_model), entry.value
        before = self.deadlines.get(key)
        reset_at = self._reset_at.get(key)
        known = None if before is None else deadline_entry(key, reset_at, before)
        if known is None and reset_at is not None:
            known = ended(Kind.QUOTA_DEADLINE, key, reset_at)
        if not entry.supersedes(known):
            return
        if reset_at is None or reset_at < entry.changed_at:
            self._reset_at[key] = entry.changed_at
            self.deadlines.pop(key, None)
            self.windows.pop(key, None)
        if deadline is not None:
            self.deadlines[key] = deadline
        self._changes.tell(ModelChanged(key))

    def left_s(self, member: Member, now: datetime) -> float:
        """Seconds until the deadline of the member; 0 or less when there is none any more."""
        deadline = self.deadlines.get(member.quota_key)
        return 0.0 if deadline is None else (deadline.until - now).total_seconds()

    def _put(self, key: QuotaKey, deadline: QuotaDeadline, now: datetime) -> None:
        if len(self.deadlines) >= CAPACITY:
            self.deadlines = {k: d for k, d in self.deadlines.items() if d.until > now}
        if deadline != self.deadlines.get(key):
            self.deadlines[key] = deadline
            self._changes.store(deadline_entry(key, self._reset_at.get(key), deadline))
            self._changes.tell(ModelChanged(key))

    def _keep(self, key: QuotaKey, windows: Sequence[QuotaWindow], now: datetime) -> None:
        if not windows:
            return
        if len(self.windows) >= CAPACITY:
            # Those without a known reset go too: they are told again by the next answer.
            self.windows = {
                k: kept
                for k, kept in self.windows.items()
                if any(each.reset_at for each in live(kept, now))
            }
        self.windows[key] = merged(self.windows.get(key, ()), windows, now)
