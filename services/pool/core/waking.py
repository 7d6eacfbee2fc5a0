"""Waking: a registered wake ends once, by a match, its time-out or a cancel."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from services.pool.core.errors import CursorOutOfRangeError
from services.pool.core.events import (
    Event,
    EventKind,
    Start,
    Timer,
    TimerKind,
    Wake,
    WakeCondition,
    WakeDelivery,
    WakeState,
)
from services.pool.core.filters import matches
from services.pool.core.model import Pool

END_KIND = {
    WakeState.TRIGGERED: EventKind.WAKE_TRIGGERED,
    WakeState.TIMED_OUT: EventKind.WAKE_TIMED_OUT,
    WakeState.CANCELLED: EventKind.WAKE_CANCELLED,
    WakeState.FAILED: EventKind.WAKE_FAILED,
}


def scan_after(condition: WakeCondition, pool: Pool) -> int:
    """The sequence after which events count.

    Raises:
        CursorOutOfRangeError: The cursor names a record that was removed or not yet written.
    """
    start = condition.match_from
    if start is Start.EARLIEST:
        return pool.oldest_sequence - 1
    if isinstance(start, Start):
        return pool.head_sequence
    if not pool.oldest_sequence - 1 <= start <= pool.head_sequence:
        raise CursorOutOfRangeError.of(start, pool.oldest_sequence, pool.head_sequence)
    return start


def register(
    condition: WakeCondition, sequence: int, digest: bytes, traceparent: str, now: datetime
) -> Wake:
    """The wake that the log record ``sequence`` registers."""
    deadline = None if condition.timeout is None else now + condition.timeout
    return Wake(
        condition=condition,
        register_time=now,
        registered_sequence=sequence,
        seen_sequence=sequence,
        deadline=deadline,
        suspend_traceparent=traceparent,
        digest=digest,
    )


def ends_at_once(condition: WakeCondition) -> bool:
    """Whether the time-out is zero, which ends a wake before the log is searched."""
    return condition.timeout == timedelta(0)


def observe(wake: Wake, event: Event, now: datetime) -> Wake:
    """``wake`` after ``event``: a match counts only before the deadline."""
    if wake.state is not WakeState.REGISTERED or is_late(wake, now) or not event.observable:
        return wake
    if not any(matches(wanted, event) for wanted in wake.condition.filters):
        return wake
    matched = (*wake.matched, _as_kept(event, wake.condition.run_id))
    seen = replace(wake, matched=matched, seen_sequence=event.sequence)
    if len(seen.matched) < wake.condition.after_matches:
        return seen
    return end(seen, WakeState.TRIGGERED, "", event.traceparent, now)


def _as_kept(event: Event, run_id: str) -> Event:
    """``event`` without recipients other than ``run_id``.

    A broadcast may trigger a wake of each recipient, so keeping all would cost their square.
    """
    mine = tuple(each for each in event.recipient_run_ids if each == run_id)
    return replace(event, recipient_run_ids=mine)


def is_late(wake: Wake, now: datetime) -> bool:
    return wake.deadline is not None and now >= wake.deadline


def end(wake: Wake, state: WakeState, reason: str, traceparent: str, now: datetime) -> Wake:
    """``wake`` ended as ``state``; one that has ended stays as it is."""
    if wake.state is not WakeState.REGISTERED:
        return wake
    return replace(
        wake,
        state=state,
        end_reason=reason,
        end_time=now,
        cause_traceparent=traceparent,
        delivery=WakeDelivery.QUEUED,
    )


def refuse(wake: Wake, reason: str, now: datetime) -> Wake:
    """``wake`` failed, after run control refused its delivery for good."""
    return replace(
        wake,
        state=WakeState.FAILED,
        end_reason=reason,
        end_time=now,
        delivery=WakeDelivery.REFUSED,
    )


def timer_of(wake: Wake) -> Timer | None:
    if wake.deadline is None or wake.state is not WakeState.REGISTERED:
        return None
    return Timer(TimerKind.WAKE, wake.condition.condition_id, wake.deadline)
