"""The circuit breakers of this process, one per pool and model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from services.chassis.observe.metrics import Attributes
from services.router.core.breaker import (
    Breaker,
    BreakerState,
    CallResult,
    Permit,
    admit,
    after_result,
    allows,
    as_of,
    cleared,
    probe_at,
    result_of,
)
from services.router.core.decision import Skipped, SkipReason
from services.router.core.failures import FailureClass
from services.router.core.member_state import LastFailure
from services.router.core.model import Member, Target
from services.router.core.routing_change import MemberChanged
from services.router.core.shared_entry import Changes, Unheard
from services.router.engine import telemetry_names as names

# Members are few, yet a registry may change for years.
CAPACITY = 10_000
# How soon to ask again while probes are in flight: one of them may close the circuit at any time.
PROBING_PAUSE_S = 1.0

# Pool, model, provider, its revision, upstream model: what was corrected in the registry starts
# with a closed circuit.
BreakerKey: TypeAlias = tuple[str, ...]

log = logging.getLogger(__name__)


class Breakers:
    """Synchronous; beyond ``capacity`` the breaker that changed longest ago is forgotten.

    Args:
        changes: Told of every change.
    """

    def __init__(self, capacity: int = CAPACITY, changes: Changes | None = None) -> None:
        self._capacity = capacity
        self._changes = changes or Unheard()
        # Members without an entry have not failed since they were first called.
        self._breakers: dict[BreakerKey, tuple[Breaker, LastFailure | None]] = {}

    def skip(self, target: Target, member: Member, now: datetime) -> Skipped | None:
        """Why the circuit keeps calls from the member; None when it lets one through."""
        breaker, _ = self._find(breaker_key(target, member))
        if breaker is None or breaker.state is BreakerState.CLOSED:
            return None
        if allows(breaker, target.pool.breaker, now):
            return None
        return Skipped(
            member.id,
            SkipReason.CIRCUIT_OPEN,
            until=probe_at(as_of(breaker, now), target.pool.breaker),
            moves=target.single_member or target.pool.switch.on_circuit_open,
        )

    def admit(self, target: Target, member: Member, now: datetime, lease_s: float) -> Permit:
        """Let a call through; ``skip`` has found nothing against it at the same instant."""
        key = breaker_key(target, member)
        before, last = self._find(key)
        if before is None:
            return Permit(Breaker().generation)
        after, permit = admit(before, target.pool.breaker, now, lease_s)
        assert permit is not None, "skip comes first"  # noqa: S101  # the caller's order, not input
        self._put(key, after, last)
        return permit

    def holds(self, target: Target, member: Member, permit: Permit, now: datetime) -> bool:
        """Whether a call may repeat its request: the circuit has not opened since it began, or it
        is closed again.
        """
        breaker, _ = self._find(breaker_key(target, member))
        if breaker is None or breaker.state is BreakerState.CLOSED:
            return True
        return as_of(breaker, now).generation == permit.generation

    def record(
        self,
        target: Target,
        member: Member,
        permit: Permit,
        failure: FailureClass | None,
        now: datetime,
    ) -> None:
        """Count how a call has ended on the member; None is a complete answer."""
        key = breaker_key(target, member)
        if failure is None and key not in self._breakers:
            return
        before, last = self._find(key)
        result = result_of(failure)
        after = after_result(before or Breaker(), target.pool.breaker, permit, result, now)
        if failure is not None and result is CallResult.FAILURE:
            last = LastFailure(failure, now)
        self._put(key, after, last)

    def reset(self, key: BreakerKey, at: datetime) -> None:
        """Close the circuit and forget the failures of a member, unless it has failed after ``at``:
        a reset on another replica takes a moment to arrive.
        """
        before, last = self._find(key)
        if before is not None and (last is None or last.at <= at):
            self._put(key, cleared(before), None)

    def recovers_in_s(self, target: Target, member: Member, now: datetime) -> float | None:
        """Seconds until the circuit may let a call through; None when it does."""
        skip = self.skip(target, member, now)
        if skip is None:
            return None
        return PROBING_PAUSE_S if skip.until is None else (skip.until - now).total_seconds()

    def records(self) -> Mapping[BreakerKey, tuple[Breaker, LastFailure | None]]:
        """All breakers, each with the last failure of its member; to be copied, not kept."""
        return self._breakers

    def _find(self, key: BreakerKey) -> tuple[Breaker | None, LastFailure | None]:
        return self._breakers.get(key, (None, None))

    def _put(self, key: BreakerKey, after: Breaker, last: LastFailure | None) -> None:
        before, last_before = self._find(key)
        before = before or Breaker()
        if (after, last) == (before, last_before):
            return
        self._breakers.pop(key, None)
        self._breakers[key] = after, last
        if len(self._breakers) > self._capacity:
            del self._breakers[next(iter(self._breakers))]
        if after.state is not before.state:
            _log_change(key, after)
        target_id, member_id, *_ = key
        self._changes.tell(MemberChanged(target_id, member_id))


def breaker_key(target: Target, member: Member) -> BreakerKey:
    return target.pool.id, member.id, *member.quota_key


def circuit_attributes(key: BreakerKey, state: BreakerState) -> Attributes:
    return {names.TARGET: key[0], names.MEMBER_ID: key[1], names.CIRCUIT: state.value}


def _log_change(key: BreakerKey, breaker: Breaker) -> None:
    level = logging.WARNING if breaker.state is BreakerState.OPEN else logging.INFO
    facts = {
        "target_id": key[0],
        "member_id": key[1],
        "state": breaker.state.value,
        "generation": breaker.generation,
        "consecutive_failures": breaker.consecutive_failures,
    }
    log.log(level, "circuit breaker changed", extra=facts)
    names.CIRCUIT_CHANGES.add(1, circuit_attributes(key, breaker.state))
