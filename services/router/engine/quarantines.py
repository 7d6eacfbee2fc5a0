"""The quarantines, shared by all pools and by all replicas."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from services.router.core.breaker import Permit
from services.router.core.decision import Skipped, SkipReason
from services.router.core.failures import FailureClass
from services.router.core.model import Member, Provider, Target
from services.router.core.quarantine import (
    Entry,
    Quarantine,
    admit,
    after_result,
    allows,
    applies,
    as_of,
    is_shared,
    probe_at,
    quarantine_entry,
)
from services.router.core.routing_change import ModelChanged
from services.router.core.shared_entry import Changes, Key, Kind, Latest, Unheard, ended, later_than
from services.router.core.shared_entry import Entry as SharedEntry

# Members are few, yet a registry may change for years.
CAPACITY = 10_000
# How soon to ask again while a probe is in flight: it may end the quarantine at any time.
PROBING_PAUSE_S = 1.0

# A digest that changes with the secrets of a provider; without I/O.
DigestOf: TypeAlias = Callable[[Provider], str]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admission:
    """What lets one call through to a member; its result is recorded with it.

    Attributes:
        circuit: From the member's circuit breaker.
        entry: Past the member's quarantine.
        digest: Of the secrets of its provider, as they were then.
        probe: The call finds out whether circuit or quarantine may end.
    """

    circuit: Permit
    entry: Entry
    digest: str
    probe: bool


class Quarantines:
    """Synchronous; beyond ``capacity`` the quarantine that changed longest ago is forgotten.

    What calls find out here goes to the other replicas; ``merge`` takes in theirs. A probe is this
    process's own, and void once another replica has begun a round.

    Attributes:
        entries: By what shares the fault: ``Member.quota_key`` and the digest of the secrets. While
            it is empty, nothing here needs to be asked.
    """

    def __init__(
        self, digest_of: DigestOf, capacity: int = CAPACITY, changes: Changes | None = None
    ) -> None:
        self._changes = changes or Unheard()
        self.entries: dict[Key, Quarantine] = {}
        # As the replicas know it, ends included.
        self._shared: Latest[Quarantine] = Latest(capacity)
        # The end of all that is older, by ``Member.quota_key``.
        self._resets: Latest[Quarantine] = Latest(capacity)
        self._digest_of = digest_of
        self._capacity = capacity

    def digest(self, member: Member) -> str:
        """Of the secrets of the member's provider as last looked at; empty when it has none."""
        return self._digest_of(member.provider) if member.provider.secrets else ""

    def skip(self, target: Target, member: Member, now: datetime) -> Skipped | None:
        """Why the member is set aside; None when a call may go through."""
        found = self.entries.get(self.key(member)) if applies(target) else None
        if found is None or allows(found, now):
            return None
        seen = as_of(found, now)
        return Skipped(
            member.id, SkipReason.QUARANTINED, until=probe_at(seen), detail=seen.kind.value
        )

    def admit(self, target: Target, member: Member, now: datetime, lease_s: float) -> Entry:
        """Let a call through; as a probe only for a target that sets members aside."""
        key = self.key(member)
        if not applies(target) or key not in self.entries:
            return Entry(now)
        after, entry = admit(self.entries[key], now, lease_s)
        self._put(key, after, member.id)
        return entry

    def record(
        self,
        target: Target,
        member: Member,
        admission: Admission,
        failure: FailureClass | None,
        now: datetime,
    ) -> None:
        """Judge how a call has ended on the member; None is a complete answer."""
        key = _key(member, admission.digest)
        before = self.entries.get(key)
        if before is None and not applies(target):
            return
        after = after_result(before, admission.entry, failure, now)
        if is_shared(before, after):
            shared = quarantine_entry(key, after, self._later(key, now))
            self._shared.take(shared)
            self._changes.store(shared)
        self._put(key, after, member.id)

    def merge(self, entry: SharedEntry[Quarantine]) -> None:
        """Take in a quarantine, or the end of one, unless what is known supersedes it."""
        if self._shared.take(entry):
            self._put(entry.key, None if self._was_reset(entry.key) else entry.value)

    def reset(self, quota_key: Key, at: datetime) -> None:
        """End what is older of a model, whatever the secrets of its provider.

        Args:
            quota_key: As ``Member.quota_key``.
        """
        self._resets.take(ended(Kind.RESET, quota_key, at))
        for key in self._keys(quota_key):
            if self._was_reset(key):
                self._put(key, None)

    def reset_at(self, quota_key: Key, now: datetime) -> datetime:
        """``now``, or the instant after all that is known of a model."""
        return max((self._later(key, now) for key in self._keys(quota_key)), default=now)

    def recovers_in_s(self, target: Target, member: Member, now: datetime) -> float | None:
        """Seconds until a probe is let through; None when the member is not set aside."""
        skip = self.skip(target, member, now)
        if skip is None:
            return None
        return PROBING_PAUSE_S if skip.until is None else (skip.until - now).total_seconds()

    def key(self, member: Member) -> Key:
        """Of the member's entry, with the secrets as they are now."""
        return _key(member, self.digest(member))

    def _keys(self, quota_key: Key) -> list[Key]:
        return [key for key in self.entries if key[:-1] == quota_key]

    def _was_reset(self, key: Key) -> bool:
        known, reset = self._shared.entries.get(key), self._resets.entries.get(key[:-1])
        return reset is not None and (known is None or known.changed_at <= reset.changed_at)

    def _later(self, key: Key, now: datetime) -> datetime:
        """``now``, or the instant after the last change or reset."""
        for known in (self._shared.entries.get(key), self._resets.entries.get(key[:-1])):
            now = later_than(None if known is None else known.changed_at, now)
        return now

    def _put(self, key: Key, after: Quarantine | None, member_id: str = "") -> None:
        before = self.entries.get(key)
        if after == before:
            return
        self.entries.pop(key, None)
        if after is not None:
            self.entries[key] = after
        if len(self.entries) > self._capacity:
            del self.entries[next(iter(self.entries))]
        _log_change(key, before, after, member_id)
        self._changes.tell(ModelChanged(key[:-1]))


def _key(member: Member, digest: str) -> Key:
    return *member.quota_key, digest


def _log_change(
    key: Key, before: Quarantine | None, after: Quarantine | None, member_id: str
) -> None:
    provider_id, _, upstream_model, _ = key
    known = after or before
    assert known is not None, "something has changed"  # noqa: S101  # narrows the type
    state = "ended" if after is None else "set aside" if after.lease is None else "probing"
    facts = {
        # Of the call; empty when no call to this process has changed it.
        "member_id": member_id,
        "provider_id": provider_id,
        "upstream_model": upstream_model,
        "state": state,
        "failure": known.kind.value,
        "round": known.round,
    }
    log.warning("quarantine changed", extra=facts)
