"""What operators change in the health of members, and what the replicas share of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from services.router.core.cordon import cordon_entry, cordon_key
from services.router.core.model import Member, Target
from services.router.core.routing_change import MemberChanged, MemberReset
from services.router.core.shared_entry import Changes, Entry, Kind, Latest, ended, later_than
from services.router.engine.breakers import Breakers, breaker_key
from services.router.engine.quarantines import Quarantines
from services.router.engine.quotas import Quotas


class SharedHealth:
    """Synchronous. What is set here goes to the other replicas; ``merge`` takes in theirs.

    Attributes:
        cordons: By ``cordon_key``.
    """

    def __init__(
        self, breakers: Breakers, quarantines: Quarantines, quotas: Quotas, changes: Changes
    ) -> None:
        self._breakers = breakers
        self._quarantines = quarantines
        self._quotas = quotas
        self._changes = changes
        self.cordons: Latest[bool] = Latest()
        # Who did it, by ``breaker_key``.
        self._resets: Latest[str] = Latest()

    def reset(self, target: Target, member: Member, by: str, now: datetime) -> None:
        """Clear the circuit of the member, and the quarantine and quota deadline of its model.

        Args:
            by: The principal who does it.
        """
        key = breaker_key(target, member)
        at = _later(self._resets.entries.get(key), now)
        at = self._quarantines.reset_at(member.quota_key, at)
        self._set(replace(ended(Kind.RESET, key, at), value=by))
        self._quotas.reset(member, now)

    def set_cordon(self, target: Target, member: Member, now: datetime, *, cordoned: bool) -> None:
        """Begin or end the cordon of a member; a repeat changes nothing."""
        before = self.cordons.entries.get(cordon_key(target, member))
        if (before is not None and before.value is not None) is not cordoned:
            at = _later(before, now)
            self._set(cordon_entry(target, member, at, cordoned=cordoned))

    def merge(self, entry: Entry[Any]) -> None:
        """Take in what another replica, or this process before its restart, has stored."""
        match entry.kind:
            case Kind.QUOTA_DEADLINE:
                self._quotas.merge(entry)
            case Kind.QUARANTINE:
                self._quarantines.merge(entry)
            case Kind.CORDON:
                if self.cordons.take(entry):
                    self._changes.tell(MemberChanged(*entry.key))
            case Kind.RESET:
                if self._resets.take(entry):
                    self._breakers.reset(entry.key, entry.changed_at)
                    target_id, member_id, *quota_key = entry.key
                    self._quarantines.reset(tuple(quota_key), entry.changed_at)
                    self._changes.tell(MemberReset(entry.value or "", target_id, member_id))

    def _set(self, entry: Entry[Any]) -> None:
        self._changes.store(entry)
        self.merge(entry)


def _later(before: Entry[Any] | None, now: datetime) -> datetime:
    return later_than(None if before is None else before.changed_at, now)
