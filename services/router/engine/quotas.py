"""The quota deadlines of this process, one per provider's account and upstream model."""

from __future__ import annotations

from datetime import datetime

from services.router.core.failures import QUOTA, Failure
from services.router.core.model import Member, QuotaKey
from services.router.core.quota import QuotaDeadline, after_refusal, after_success, later

# Accounts are few, yet a registry may change for years.
CAPACITY = 10_000


class Quotas:
    """Synchronous; at ``CAPACITY`` the deadlines that have passed are forgotten.

    Attributes:
        deadlines: By ``Member.quota_key``, to read; they may have passed.
    """

    def __init__(self) -> None:
        self.deadlines: dict[QuotaKey, QuotaDeadline] = {}

    def refused(self, member: Member, failure: Failure, now: datetime) -> None:
        """Set the deadline that a failure asks for; other failures change nothing."""
        if failure.kind in QUOTA:
            before = self.deadlines.get(member.quota_key)
            self._put(member.quota_key, after_refusal(before, failure.retry_after_s, now), now)

    def answered(self, member: Member, now: datetime) -> None:
        """End the streak of refusals without a hint; a deadline that has not passed stays."""
        before = self.deadlines.get(member.quota_key)
        if before is not None and after_success(before, now) is None:
            del self.deadlines[member.quota_key]

    def merge(self, key: QuotaKey, deadline: QuotaDeadline, now: datetime) -> None:
        """Take over a deadline that was learned elsewhere, unless the one here ends later."""
        self._put(key, later(self.deadlines.get(key), deadline), now)

    def reset(self, member: Member) -> None:
        self.deadlines.pop(member.quota_key, None)

    def left_s(self, member: Member, now: datetime) -> float:
        """Seconds until the deadline of the member; 0 or less when there is none any more."""
        deadline = self.deadlines.get(member.quota_key)
        return 0.0 if deadline is None else (deadline.until - now).total_seconds()

    def _put(self, key: QuotaKey, deadline: QuotaDeadline, now: datetime) -> None:
        if len(self.deadlines) >= CAPACITY:
            self.deadlines = {k: d for k, d in self.deadlines.items() if d.until > now}
        self.deadlines[key] = deadline
