"""What is measured of runs, by what a committed transaction has changed."""

from __future__ import annotations

from collections.abc import Iterable

from services.runcontrol.core.events import AttemptFailed, RunFinished, RunParked
from services.runcontrol.core.work import Work
from services.runcontrol.store import telemetry_names as names


def record(changes: Iterable[tuple[Work, Work]]) -> None:
    """Measure what lies between the states of runs before and after a transaction."""
    for before, after in changes:
        for event in after.events:
            _record_event(after, event.kind)
        dispatch = before.dispatch
        if before.lease is None and after.lease is not None and dispatch is not None:
            names.CLAIMED.record((after.now - dispatch.available_at).total_seconds())


def _record_event(after: Work, kind: object) -> None:
    if isinstance(kind, RunFinished):
        reason = {names.REASON: kind.termination.reason.value}
        names.FINISHED.add(1, reason)
        names.DURATION.record((after.now - after.run.created_at).total_seconds(), reason)
    elif isinstance(kind, RunParked):
        for each in kind.reasons:
            names.PARKED.add(1, {names.REASON: each.kind.value})
    elif isinstance(kind, AttemptFailed):
        names.ATTEMPTS.add(
            1, {names.RETRY_CLASS: kind.retry_class, names.WILL_RETRY: kind.will_retry}
        )
        if kind.reason == "LEASE_LOST":
            names.LOST.add(1)
