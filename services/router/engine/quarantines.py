"""The quarantines of this process, shared by all pools."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
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
    probe_at,
)
from services.router.core.routing_change import ModelChanged
from services.router.core.shared_entry import Changes, Key, Unheard

# Members are few, yet a registry may change for years.
CAPACITY = 10_000
# How soon to ask again while a probe is in flight: it may end the quarantine at any time.
PROBING_PAUSE_S = 1.0

# A digest that changes with the secrets of a provider; it may look at files, and reads none twice.
DigestOf: TypeAlias = Callable[[Provider], str]
# What shares the fault: provider, its revision, upstream model, digest of the secrets.
FaultKey: TypeAlias = tuple[str, str, str, str]

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

    Attributes:
        entries: Each with a member that has it. While it is empty, nothing here needs to be asked.
    """

    def __init__(
        self, digest_of: DigestOf, capacity: int = CAPACITY, changes: Changes | None = None
    ) -> None:
        self._changes = changes or Unheard()
        self.entries: dict[FaultKey, tuple[Quarantine, Member]] = {}
        self._digest_of = digest_of
        self._capacity = capacity

    def digest(self, member: Member) -> str:
        """Of the secrets of the member's provider as they are now; empty when it has none."""
        return self._digest_of(member.provider) if member.provider.secrets else ""

    def skip(self, target: Target, member: Member, now: datetime) -> Skipped | None:
        """Why the member is set aside; None when a call may go through."""
        found = self._find(member) if applies(target) else None
        if found is None or allows(found, now):
            return None
        seen = as_of(found, now)
        return Skipped(
            member.id, SkipReason.QUARANTINED, until=probe_at(seen), detail=seen.kind.value
        )

    def admit(self, target: Target, member: Member, now: datetime, lease_s: float) -> Entry:
        """Let a call through; as a probe only for a target that sets members aside."""
        key = _key(member, self.digest(member))
        if not applies(target) or key not in self.entries:
            return Entry(now)
        after, entry = admit(self.entries[key][0], now, lease_s)
        self._put(key, after, member)
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
        before = self.entries[key][0] if key in self.entries else None
        if before is None and not applies(target):
            return
        self._put(key, after_result(before, admission.entry, failure, now), member)

    def reset(self, quota_key: Key) -> None:
        """End the quarantine of a model, whatever the secrets of its provider.

        Args:
            quota_key: As ``Member.quota_key``.
        """
        for key in [key for key in self.entries if key[:3] == quota_key]:
            self._put(key, None, self.entries[key][1])

    def recovers_in_s(self, target: Target, member: Member, now: datetime) -> float | None:
        """Seconds until a probe is let through; None when the member is not set aside."""
        skip = self.skip(target, member, now)
        if skip is None:
            return None
        return PROBING_PAUSE_S if skip.until is None else (skip.until - now).total_seconds()

    def records(self) -> Mapping[tuple[str, str, str], Quarantine]:
        """Those of the secrets as they are now, by ``Member.quota_key``."""
        return {
            key[:3]: quarantine
            for key, (quarantine, member) in self.entries.items()
            if key[3] == self.digest(member)
        }

    def _find(self, member: Member) -> Quarantine | None:
        found = self.entries.get(_key(member, self.digest(member)))
        return None if found is None else found[0]

    def _put(self, key: FaultKey, after: Quarantine | None, member: Member) -> None:
        before = self.entries[key][0] if key in self.entries else None
        if after == before:
            return
        self.entries.pop(key, None)
        if after is not None:
            self.entries[key] = after, member
        if len(self.entries) > self._capacity:
            del self.entries[next(iter(self.entries))]
        _log_change(member, before, after)
        self._changes.tell(ModelChanged(member.quota_key))


def _key(member: Member, digest: str) -> FaultKey:
    return *member.quota_key, digest


def _log_change(member: Member, before: Quarantine | None, after: Quarantine | None) -> None:
    known = after or before
    assert known is not None, "something has changed"  # noqa: S101  # narrows the type
    state = "ended" if after is None else "set aside" if after.lease is None else "probing"
    facts = {
        "member_id": member.id,
        "provider_id": member.provider.id,
        "upstream_model": member.model.upstream_model,
        "state": state,
        "failure": known.kind.value,
        "round": known.round,
    }
    log.warning("quarantine changed", extra=facts)
