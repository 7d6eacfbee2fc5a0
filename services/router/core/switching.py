"""Decides what a call does after one of its attempts has failed, and after its answer broke off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from services.router.core.failures import PERMANENT, QUOTA, TRANSIENT, Failure, FailureClass
from services.router.core.model import SwitchPolicy
from services.router.core.quota import justifies_failover

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 4.0


@dataclass(frozen=True, slots=True)
class FailOver:
    """Call the next member."""


@dataclass(frozen=True, slots=True)
class RetryInPlace:
    """Call the same member again after ``delay_s``, as one of its retries."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class WaitInPlace:
    """Call the same member again after ``delay_s``, which it asked for; this is no retry."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class ReturnError:
    """End the call with an error.

    Attributes:
        no_member_left: The policy would fail over, and there is no member to call.
    """

    no_member_left: bool = False


@dataclass(frozen=True, slots=True)
class ReturnRefusal:
    """End the call as an answer with finish reason CONTENT_FILTER, without an error."""


Step: TypeAlias = FailOver | RetryInPlace | WaitInPlace | ReturnError | ReturnRefusal


@dataclass(frozen=True, slots=True)
class Remaining:
    """What the call may still do.

    Attributes:
        retries_done: Retries on the member that failed.
        retries_allowed: Retries per member that the pool allows.
        can_fail_over: A healthy member was not called yet, and ``max_attempts`` allows one more.
        can_repeat: ``max_attempts``, the circuit and the budget of the process allow the member one
            more request.
        wait_left_s: How long the call may still wait for hints.
        waited: It has waited for a limit or an overload of this member.
        time_left_s: Until the total clock or the caller's deadline; None is unbounded.
        circuit_opened: Other calls have opened the member's circuit since this one began on it.
        draw: Random, 0 to 1: shortens a pause down to its half, so that calls that failed together
            do not repeat together. The time that a provider asked for is never shortened.
    """

    retries_done: int
    retries_allowed: int
    can_fail_over: bool
    can_repeat: bool
    wait_left_s: float
    time_left_s: float | None
    waited: bool = False
    circuit_opened: bool = False
    draw: float = 1.0


def next_step(failure: Failure, switch: SwitchPolicy, remaining: Remaining) -> Step:
    """The next step of a call that has not reached its commit point."""
    if failure.kind is FailureClass.CONTENT_POLICY:
        return ReturnRefusal()
    if failure.kind in QUOTA:
        return _after_quota_refusal(failure, switch, remaining)
    if failure.kind in PERMANENT:
        return _fail_over_or_return(remaining) if switch.on_permanent else ReturnError()
    if failure.kind in TRANSIENT:
        return _after_transient(failure, switch, remaining)
    return ReturnError()


def starts_over(failure: Failure, switch: SwitchPolicy) -> bool:
    """Whether an answer that broke off after its commit point starts over on another member, if the
    call asks for that.
    """
    if failure.kind in QUOTA:
        return justifies_failover(failure.retry_after_s, switch)
    if failure.kind in PERMANENT:
        return switch.on_permanent
    return failure.kind in TRANSIENT


def _after_quota_refusal(failure: Failure, switch: SwitchPolicy, remaining: Remaining) -> Step:
    """Fail over if the policy does and a member is left; else wait out a short hint."""
    fails_over = justifies_failover(failure.retry_after_s, switch) or _leaves_circuit(
        switch, remaining
    )
    if fails_over and remaining.can_fail_over:
        return FailOver()
    delay_s = failure.retry_after_s
    if delay_s is not None and _may_wait(failure, remaining, delay_s):
        return WaitInPlace(delay_s)
    return ReturnError(no_member_left=fails_over)


def _after_transient(failure: Failure, switch: SwitchPolicy, remaining: Remaining) -> Step:
    pause_s = _pause_s(remaining.retries_done) * (1.0 + remaining.draw) / 2
    hint_s = failure.retry_after_s or 0.0
    pause_s = max(pause_s, hint_s)
    may_retry = remaining.retries_done < remaining.retries_allowed
    may_wait = hint_s <= remaining.wait_left_s
    if may_retry and may_wait and _may_repeat(failure, remaining, pause_s):
        return RetryInPlace(pause_s)
    fails_over = switch.on_retry_exhausted or _leaves_circuit(switch, remaining)
    return _fail_over_or_return(remaining) if fails_over else ReturnError()


def _leaves_circuit(switch: SwitchPolicy, remaining: Remaining) -> bool:
    return remaining.circuit_opened and switch.on_circuit_open


def _fail_over_or_return(remaining: Remaining) -> Step:
    return FailOver() if remaining.can_fail_over else ReturnError(no_member_left=True)


def _may_wait(failure: Failure, remaining: Remaining, delay_s: float) -> bool:
    short = remaining.wait_left_s > 0 and delay_s <= remaining.wait_left_s
    return short and not remaining.waited and _may_repeat(failure, remaining, delay_s)


def _may_repeat(failure: Failure, remaining: Remaining, delay_s: float) -> bool:
    in_time = remaining.time_left_s is None or delay_s < remaining.time_left_s
    return remaining.can_repeat and failure.repeatable and in_time


def _pause_s(retries_done: int) -> float:
    """No pause before the first retry: most cuts are a stale connection."""
    if retries_done == 0:
        return 0.0
    return min(_FIRST_PAUSE_S * 2.0 ** (retries_done - 1), _LONGEST_PAUSE_S)
