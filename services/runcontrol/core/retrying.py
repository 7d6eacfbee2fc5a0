"""After a failed attempt: another one after a pause, or the end of the run.

Classes: ``crash`` (the server was lost) and ``error`` get five attempts per step. ``throttled`` is
retried until the run's deadline, not before the time that the refusing service asked for.
``fatal`` is not retried.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import assert_never

from services.runcontrol.core.events import AttemptFailed
from services.runcontrol.core.finishing import finish
from services.runcontrol.core.model import (
    Cause,
    Dispatch,
    DispatchState,
    RunState,
    Termination,
    TerminationReason,
    WaitingKind,
    WaitingReason,
)
from services.runcontrol.core.work import Work

MAX_ATTEMPTS = 5
MAX_HANDOFFS = 20
BASE_BACKOFF_S = 0.25
MAX_BACKOFF_S = 60.0
MAX_HINT_JITTER_S = 15.0


class RetryClass(Enum):
    CRASH = "crash"
    ERROR = "error"
    THROTTLED = "throttled"
    FATAL = "fatal"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed.

    Attributes:
        reason: Stable code of run control, or of the service that refused.
        retry_after_s: The pause that the refusing service asked for; None when it named none.
    """

    retry_class: RetryClass
    reason: str
    message: str
    retry_after_s: float | None = None


def backoff_s(failures: int, draw: float) -> float:
    """Full jitter: ``draw`` (0 to 1) of 250 ms doubled per earlier failure, at most 60 s."""
    ceiling = min(MAX_BACKOFF_S, BASE_BACKOFF_S * 2.0 ** min(failures - 1, 16))
    return draw * ceiling


def fail_attempt(work: Work, failure: Failure, draw: float) -> Work:
    """Requeue the run's dispatch, or end the run when no attempt is left."""
    if work.run.state is RunState.CANCELLING:
        return _cancelled(work)
    dispatch, failures = _counted(work.claimed(), failure.retry_class)
    work = work.with_dispatch(dispatch)
    limited = failure.retry_class in (RetryClass.CRASH, RetryClass.ERROR)
    exhausted = limited and failures >= MAX_ATTEMPTS
    if failure.retry_class is RetryClass.FATAL or exhausted or work.now >= work.run.deadline_at:
        return _give_up(work, failure)
    # The loss of one server is rarely caused by the run, so the second attempt starts at once.
    lost_once = failure.retry_class is RetryClass.CRASH and failures == 1
    pause_s = 0.0 if lost_once else backoff_s(failures, draw)
    left_s = (work.run.deadline_at - work.now).total_seconds()
    return _requeue(work, failure, min(max(pause_s, _hinted_s(failure, draw)), left_s))


def _hinted_s(failure: Failure, draw: float) -> float:
    """The pause that was asked for, and more: not all who were asked come back at once."""
    hint_s = failure.retry_after_s or 0.0
    return hint_s + draw * min(hint_s / 2, MAX_HINT_JITTER_S)


def _requeue(work: Work, failure: Failure, pause_s: float) -> Work:
    """Put the dispatch back into the queue for another attempt of the same step."""
    dispatch = work.claimed()
    due = work.now + timedelta(seconds=pause_s)
    cause = Cause("backoff" if pause_s > 0 else "recovery")
    queued = replace(
        dispatch,
        state=DispatchState.QUEUED,
        available_at=due,
        causes=(cause,),
        last_error=failure.reason,
    )
    kind = failure.retry_class.value
    event = AttemptFailed(kind, failure.reason, failure.message, True, due, dispatch.attempt)
    return _waiting(work.with_dispatch(queued), due if pause_s > 0 else None).emit(event)


def hand_off(work: Work) -> Work:
    """Put a claimed run back into the queue because its server stops.

    The attempt does not count, unless the dispatch was handed off 20 times before.
    """
    if work.run.state is RunState.CANCELLING:
        return _cancelled(work)
    dispatch = work.claimed()
    counted = dispatch.handoffs >= MAX_HANDOFFS
    queued = replace(
        dispatch,
        state=DispatchState.QUEUED,
        available_at=work.now,
        attempt=dispatch.attempt if counted else dispatch.attempt - 1,
        handoffs=dispatch.handoffs + 1,
        causes=(Cause("recovery"),),
    )
    return _waiting(work.with_dispatch(queued), None)


def _waiting(work: Work, until: datetime | None) -> Work:
    """Set the run to WAITING without a lease; ``until`` is when its back-off ends."""
    reasons = (WaitingReason(WaitingKind.BACKOFF, until=until),) if until else ()
    free = replace(work, lease=None).on_thread(active_run_id="")
    return free.on_run(state=RunState.WAITING, waiting=reasons)


def _counted(dispatch: Dispatch, retry_class: RetryClass) -> tuple[Dispatch, int]:
    """The dispatch with one more failure of the class, and the number of such failures."""
    match retry_class:
        case RetryClass.CRASH:
            return replace(dispatch, crashes=dispatch.crashes + 1), dispatch.crashes + 1
        case RetryClass.THROTTLED:
            return replace(dispatch, throttles=dispatch.throttles + 1), dispatch.throttles + 1
        case RetryClass.ERROR | RetryClass.FATAL:
            return replace(dispatch, errors=dispatch.errors + 1), dispatch.errors + 1
        case never:
            assert_never(never)


def _give_up(work: Work, failure: Failure) -> Work:
    attempt = work.claimed().attempt
    event = AttemptFailed(
        failure.retry_class.value, failure.reason, failure.message, False, None, attempt
    )
    if work.now >= work.run.deadline_at:
        ended = Termination(TerminationReason.DEADLINE, "the run's deadline passed")
    elif failure.retry_class is RetryClass.FATAL:
        ended = Termination(TerminationReason.ERROR, failure.message, failure.reason)
    else:
        ended = Termination(TerminationReason.DEAD_LETTER, failure.message, failure.reason)
    return finish(work.emit(event), ended)


def _cancelled(work: Work) -> Work:
    return finish(work, Termination(TerminationReason.CANCELLED, work.run.cancel_reason))
