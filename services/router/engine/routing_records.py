"""The routing state as operators see it: members and pins."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.chassis.slices import give_way
from services.router.core.breaker import Breaker
from services.router.core.cordon import cordon_key, is_cordoned
from services.router.core.member_state import (
    LastFailure,
    MemberRecord,
    MemberState,
    member_state,
    worth_telling,
)
from services.router.core.model import Member, QuotaKey, Target
from services.router.core.pins import Pin
from services.router.core.quarantine import Quarantine, applies
from services.router.core.quota import QuotaDeadline
from services.router.core.quota_windows import QuotaWindow
from services.router.core.shared_entry import Entry, Key
from services.router.engine.breakers import BreakerKey, breaker_key


@dataclass(frozen=True, slots=True)
class RoutingRecords:
    """The state; of one instant once it is ``copied``.

    Attributes:
        breakers: Each with the last failure of its member.
        deadlines: By ``Member.quota_key``, as ``windows``.
        quarantines: By ``fault_key``, which looks whether the secrets have changed.
        cordons: By ``cordon_key``.
    """

    breakers: Mapping[BreakerKey, tuple[Breaker, LastFailure | None]]
    deadlines: Mapping[Key, Entry[QuotaDeadline]]
    quarantines: Mapping[Key, Quarantine]
    fault_key: Callable[[Member], Key]
    windows: Mapping[QuotaKey, tuple[QuotaWindow, ...]]
    cordons: Mapping[Key, Entry[bool]]
    pins: Collection[Pin]

    def copied(self) -> RoutingRecords:
        """What can be read while calls change the state."""
        return RoutingRecords(
            dict(self.breakers),
            dict(self.deadlines),
            dict(self.quarantines),
            self.fault_key,
            dict(self.windows),
            dict(self.cordons),
            list(self.pins),
        )

    def members(self, targets: Iterable[Target], now: datetime) -> list[MemberState]:
        """The members of ``targets`` of which there is something to tell, sorted by target and
        member; gives way.
        """
        found: list[MemberState] = []
        for target in targets:
            give_way()
            for member in target.members:
                record = self.record(target, member)
                if worth_telling(record, now):
                    found.append(member_state(target, member, record, now))
        return sorted(found, key=lambda each: (each.target_id, each.member_id))

    def record(self, target: Target, member: Member) -> MemberRecord:
        breaker, failure = self.breakers.get(breaker_key(target, member), (None, None))
        deadline = self.deadlines.get(member.quota_key)
        cordon = self.cordons.get(cordon_key(target, member))
        aside = None
        if self.quarantines and applies(target):
            aside = self.quarantines.get(self.fault_key(member))
        return MemberRecord(
            breaker,
            failure,
            None if deadline is None else deadline.value,
            aside,
            self.windows.get(member.quota_key, ()),
            cordon.changed_at if cordon is not None and is_cordoned(target, cordon) else None,
        )
