"""Which failure moves whom: what a call does after one of its attempts has failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from services.router.core.failures import PERMANENT, QUOTA, TRANSIENT, Failure, FailureClass
from services.router.core.model import SwitchPolicy
from services.router.core.quota import is_worth_a_move

# Beyond this a caller is better served by an error that says when to come back.
LONGEST_WAIT_S = 10.0
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 4.0


@dataclass(frozen=True, slots=True)
class Move:
    """Go on with the next member."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Ask the same member once more after ``delay_s``."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Surface:
    """Give up on moving.

    Attributes:
        wanted_to_move: Only the lack of a member to move to ends the call.
    """

    wanted_to_move: bool = False


@dataclass(frozen=True, slots=True)
class Filtered:
    """The provider refuses the content: that is an answer, not an error."""


Step: TypeAlias = Move | Stay | Surface | Filtered


@dataclass(frozen=True, slots=True)
class Situation:
    """What the call may still do.

    Attributes:
        retries_done: Repeats on the member that failed.
        retries_allowed: Repeats that the pool grants a member.
        can_move: A healthy member is left that was not called, and the call may call it.
        can_repeat: The call may send one more request at all.
        time_left_s: Until the call's total clock or the caller's deadline; None is unbounded.
    """

    retries_done: int
    retries_allowed: int
    can_move: bool
    can_repeat: bool
    time_left_s: float | None


def after_failure(failure: Failure, switch: SwitchPolicy, situation: Situation) -> Step:
    """What a call does next, before its commit point."""
    if failure.kind is FailureClass.CONTENT_POLICY:
        return Filtered()
    if failure.kind in QUOTA:
        return _after_refusal(failure, switch, situation)
    if failure.kind in PERMANENT:
        return _move_or_surface(situation) if switch.on_permanent else Surface()
    if failure.kind in TRANSIENT:
        return _after_transient(switch, situation)
    return Surface()


def _after_refusal(failure: Failure, switch: SwitchPolicy, situation: Situation) -> Step:
    """Move first; sleep only when there is nowhere to go, or the pool says to sit it out."""
    moves = is_worth_a_move(failure.retry_after_s, switch)
    if moves and situation.can_move:
        return Move()
    delay_s = failure.retry_after_s
    if delay_s is not None and delay_s <= LONGEST_WAIT_S and _may_stay(situation, delay_s):
        return Stay(delay_s)
    return Surface(wanted_to_move=moves)


def _after_transient(switch: SwitchPolicy, situation: Situation) -> Step:
    pause_s = _pause_s(situation.retries_done)
    if _may_stay(situation, pause_s):
        return Stay(pause_s)
    return _move_or_surface(situation) if switch.on_retry_exhausted else Surface()


def _move_or_surface(situation: Situation) -> Step:
    return Move() if situation.can_move else Surface(wanted_to_move=True)


def _may_stay(situation: Situation, delay_s: float) -> bool:
    if not situation.can_repeat or situation.retries_done >= situation.retries_allowed:
        return False
    return situation.time_left_s is None or delay_s < situation.time_left_s


def _pause_s(retries_done: int) -> float:
    """The first repeat goes at once: most cuts are a connection that had gone stale."""
    if retries_done == 0:
        return 0.0
    return min(_FIRST_PAUSE_S * 2.0 ** (retries_done - 1), _LONGEST_PAUSE_S)
