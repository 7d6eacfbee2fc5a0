"""What is known of the health of a member, at one instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.router.core.breaker import Breaker, BreakerState, as_of, probe_at
from services.router.core.failures import FailureClass
from services.router.core.model import Member, Target
from services.router.core.quarantine import Quarantine
from services.router.core.quarantine import as_of as quarantine_as_of
from services.router.core.quarantine import probe_at as quarantine_probe_at
from services.router.core.quota import QuotaDeadline
from services.router.core.quota_windows import QuotaWindow, live


@dataclass(frozen=True, slots=True)
class LastFailure:
    """The newest failure of a member that its circuit breaker takes for one."""

    kind: FailureClass
    at: datetime


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """What is kept of a member between calls; None for what it has never had.

    Attributes:
        cordoned_at: None unless it is cordoned.
    """

    breaker: Breaker | None = None
    failure: LastFailure | None = None
    deadline: QuotaDeadline | None = None
    quarantine: Quarantine | None = None
    windows: tuple[QuotaWindow, ...] = ()
    cordoned_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MemberState:
    """Attributes are those of ``runyard.router.v1.MemberState``.

    Attributes:
        quota_until: None when the deadline has passed.
        quarantine: The failure behind it; None when the member has none.
        quarantine_until: None while a probe is in flight.
        quarantine_round: From 1; 0 without a quarantine.
        cordoned_at: None unless it is cordoned.
    """

    target_id: str
    member_id: str
    breaker: BreakerState
    generation: int
    consecutive_failures: int
    opened_at: datetime | None
    probe_at: datetime | None
    probes_in_flight: int
    probes_allowed: int
    last_failure: LastFailure | None
    quota_until: datetime | None
    quarantine: FailureClass | None
    quarantine_until: datetime | None
    quarantine_round: int
    windows: tuple[QuotaWindow, ...]
    cordoned_at: datetime | None


def member_state(
    target: Target, member: Member, record: MemberRecord, now: datetime
) -> MemberState:
    """The state of the member at ``now``; to ask changes nothing."""
    policy = target.pool.breaker
    breaker = as_of(record.breaker or Breaker(), now)
    deadline, aside = record.deadline, record.quarantine
    return MemberState(
        target_id=target.pool.id,
        member_id=member.id,
        breaker=breaker.state,
        generation=breaker.generation,
        consecutive_failures=breaker.consecutive_failures,
        opened_at=breaker.opened_at,
        probe_at=probe_at(breaker, policy),
        probes_in_flight=len(breaker.leases),
        probes_allowed=policy.half_open_max,
        last_failure=record.failure,
        quota_until=None if deadline is None or deadline.until <= now else deadline.until,
        quarantine=None if aside is None else aside.kind,
        quarantine_until=None
        if aside is None
        else quarantine_probe_at(quarantine_as_of(aside, now)),
        quarantine_round=0 if aside is None else aside.round,
        windows=live(record.windows, now),
        cordoned_at=record.cordoned_at,
    )


def worth_telling(record: MemberRecord, now: datetime) -> bool:
    """Whether the member has failed, was reset, is set aside or cordoned, or told of its limits."""
    kept = record.breaker, record.quarantine, record.cordoned_at
    if any(each is not None for each in kept):
        return True
    waits = record.deadline is not None and now < record.deadline.until
    return waits or bool(live(record.windows, now))


def turns_at(target: Target, record: MemberRecord, now: datetime) -> list[datetime]:
    """The instants from ``now`` on at which time alone changes what may be called: the lease of a
    probe expires, circuit or quarantine lets a probe through, the quota deadline passes.
    """
    found: list[datetime | None] = []
    if record.breaker is not None:
        found.append(min(record.breaker.leases, default=None))
        found.append(probe_at(as_of(record.breaker, now), target.pool.breaker))
    if record.quarantine is not None:
        found.append(record.quarantine.lease)
        found.append(quarantine_probe_at(quarantine_as_of(record.quarantine, now)))
    if record.deadline is not None:
        found.append(record.deadline.until)
    return sorted({each for each in found if each is not None and now <= each})
