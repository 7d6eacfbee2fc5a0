"""What is known of the quotas of providers, per account and upstream model.

The replicas share deadlines. Windows are those that answers to this process told of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
from services.router.core.routing_change import ModelChanged, WindowsChanged
from services.router.core.shared_entry import Changes, Entry, Kind, Latest, ended, later_than
from services.router.engine.tracing import measure_windows

# Accounts are few, yet a registry may change for years.
CAPACITY = 10_000


class Quotas:
    """Synchronous. Deadlines that are set here go to the other replicas; ``merge`` takes in theirs.

    Attributes:
        deadlines: By ``Member.quota_key``, to read; they may have passed. The value is None once a
            success ended the streak.
        windows: By the same key, to read; they may have been reset.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.deadlines: Latest[QuotaDeadline] = Latest(CAPACITY)
        self.windows: dict[QuotaKey, tuple[QuotaWindow, ...]] = {}

    def refused(self, member: Member, failure: Failure, now: datetime) -> None:
        """Set the deadline that a failure asks for; failures of other kinds just tell of limits.

        The hint of a refusal is more exact than the windows beside it.
        """
        if failure.kind not in QUOTA:
            self.told(member, failure.windows, now)
            return
        self._extend(member, after_refusal(self.deadline(member), failure.retry_after_s, now))
        self._keep(member.quota_key, failure.windows, now)

    def told(self, member: Member, windows: Sequence[QuotaWindow], now: datetime) -> None:
        """Keep what an answer tells of the limits; if nothing remains of one, set the deadline to
        its reset.
        """
        self._keep(member.quota_key, windows, now)
        reset_at = exhausted_until(windows)
        if reset_at is not None:
            self._extend(member, later(self.deadline(member), until_reset(reset_at, now)))

    def answered(self, member: Member, now: datetime) -> None:
        """End the streak of refusals without a hint; a deadline that has not passed stays."""
        before = self.deadlines.entries.get(member.quota_key)
        if before is not None and after_success(before.value, now) is None:
            self.deadlines.entries[member.quota_key] = replace(before, value=None)

    def reset(self, member: Member, now: datetime) -> None:
        """Forget the deadline and the windows, on all replicas."""
        before = self.deadlines.entries.get(member.quota_key)
        at = later_than(None if before is None else before.changed_at, now)
        self._set(ended(Kind.QUOTA_DEADLINE, member.quota_key, at))

    def merge(self, entry: Entry[QuotaDeadline]) -> None:
        """Take in a deadline, or the end of one, unless what is known supersedes it."""
        if not self.deadlines.take(entry):
            return
        if entry.value is None:
            account, revision, model = entry.key
            self.windows.pop((account, revision, model), None)
        self._changes.tell(ModelChanged(entry.key))

    def deadline(self, member: Member) -> QuotaDeadline | None:
        """The deadline of the member, which may have passed."""
        entry = self.deadlines.entries.get(member.quota_key)
        return None if entry is None else entry.value

    def left_s(self, member: Member, now: datetime) -> float:
        """Seconds until the deadline of the member; 0 or less when there is none any more."""
        deadline = self.deadline(member)
        return 0.0 if deadline is None else (deadline.until - now).total_seconds()

    def _extend(self, member: Member, after: QuotaDeadline) -> None:
        before = self.deadlines.entries.get(member.quota_key)
        entry = deadline_entry(member.quota_key, before, after)
        if entry.supersedes(before):
            self._set(entry)

    def _set(self, entry: Entry[QuotaDeadline]) -> None:
        self._changes.store(entry)
        self.merge(entry)

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
        before = self.windows.get(key, ())
        self.windows[key] = merged(before, windows, now)
        measure_windows(key, windows)
        if self.windows[key] != before:
            self._changes.tell(WindowsChanged(key))
