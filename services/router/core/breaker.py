"""The circuit breaker of one member of one pool, as functions of its state, an event and the time.

closed ── failure_threshold failures in a row ─► open ── cooldown ─► half open ── success ─► closed
                                                  ▲                      │
                                                  └── failure, neutral, ─┘
                                                      expired lease
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from services.router.core.failures import TRANSIENT, FailureClass
from services.router.core.model import BreakerPolicy


class BreakerState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CallResult(Enum):
    """What a call says about the health of its member.

    A neutral one says nothing: the member had no capacity, was not asked because there is no
    credential for it, or the caller did not wait for it.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state between two events.

    Attributes:
        generation: Number of changes of ``state`` and of resets; results of calls of an earlier one
            are ignored.
        consecutive_failures: Up to now, or up to the last opening.
        opened_at: Of the last opening; None while closed.
        leases: When the lease of each probe in flight expires; empty unless half open.
    """

    state: BreakerState = BreakerState.CLOSED
    generation: int = 0
    consecutive_failures: int = 0
    opened_at: datetime | None = None
    leases: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Permit:
    """Lets one call through; its result is recorded with it."""

    generation: int
    probe: bool = False


def result_of(failure: FailureClass | None) -> CallResult:
    """The result of a call by how its last attempt ended; None is a complete answer.

    A refusal of the request is a success, because the member answered.
    """
    if failure in _FAILURES:
        return CallResult.FAILURE
    return CallResult.NEUTRAL if failure in _NEUTRAL else CallResult.SUCCESS


def as_of(breaker: Breaker, now: datetime) -> Breaker:
    """The breaker at ``now``: a probe whose lease expired has opened it at that instant."""
    expired_at = min(breaker.leases, default=None)
    if expired_at is None or now < expired_at:
        return breaker
    return _open(breaker, expired_at)


def allows(breaker: Breaker, policy: BreakerPolicy, now: datetime) -> bool:
    """Whether a call may go through at ``now``; to ask takes no probe."""
    seen = as_of(breaker, now)
    if seen.state is BreakerState.HALF_OPEN:
        return len(seen.leases) < policy.half_open_max
    due = probe_at(seen, policy)
    return due is None or due <= now


def probe_at(breaker: Breaker, policy: BreakerPolicy) -> datetime | None:
    """When an open breaker lets a probe through; None unless it is open."""
    if breaker.state is not BreakerState.OPEN or breaker.opened_at is None:
        return None
    return breaker.opened_at + timedelta(seconds=policy.cooldown_s)


def admit(
    breaker: Breaker, policy: BreakerPolicy, now: datetime, lease_s: float
) -> tuple[Breaker, Permit | None]:
    """Let a call through, as a probe unless the breaker is closed; None when it is refused.

    Args:
        lease_s: After so many seconds a probe without a result counts as abandoned.
    """
    seen = as_of(breaker, now)
    if not allows(seen, policy, now):
        return seen, None
    if seen.state is BreakerState.CLOSED:
        return seen, Permit(seen.generation)
    lease = now + timedelta(seconds=lease_s)
    if seen.state is BreakerState.OPEN:
        seen = replace(seen, state=BreakerState.HALF_OPEN, generation=seen.generation + 1)
    return replace(seen, leases=(*seen.leases, lease)), Permit(seen.generation, probe=True)


def after_result(
    breaker: Breaker, policy: BreakerPolicy, permit: Permit, result: CallResult, now: datetime
) -> Breaker:
    """The breaker after the result of a call; unchanged by one of an earlier generation."""
    seen = as_of(breaker, now)
    if permit.generation != seen.generation:
        return seen
    if result is CallResult.SUCCESS:
        return _close(seen)
    if result is CallResult.NEUTRAL:
        return _open(seen, now) if permit.probe else seen
    failed = replace(seen, consecutive_failures=seen.consecutive_failures + 1)
    if permit.probe or failed.consecutive_failures >= policy.failure_threshold:
        return _open(failed, now)
    return failed


def cleared(breaker: Breaker) -> Breaker:
    """The breaker after a reset: closed; results of calls from before it are not counted."""
    if breaker == Breaker(generation=breaker.generation):
        return breaker
    return Breaker(generation=breaker.generation + 1)


def _open(breaker: Breaker, now: datetime) -> Breaker:
    return replace(
        breaker,
        state=BreakerState.OPEN,
        generation=breaker.generation + 1,
        opened_at=now,
        leases=(),
    )


def _close(breaker: Breaker) -> Breaker:
    if breaker.state is BreakerState.CLOSED:
        return replace(breaker, consecutive_failures=0)
    return Breaker(generation=breaker.generation + 1)


_FAILURES = TRANSIENT | {FailureClass.TIMEOUT_TOTAL}
_NEUTRAL = frozenset(
    {
        FailureClass.RATE_LIMIT,
        FailureClass.QUOTA_EXHAUSTED,
        FailureClass.OVERLOADED,
        FailureClass.CANCELLED,
        FailureClass.CREDENTIAL_MISSING,
        FailureClass.LOCAL_LIMIT,
    }
)
