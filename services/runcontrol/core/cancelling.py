"""Cancelling a run in any state, and ending one whose deadline has passed."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import assert_never

from services.runcontrol.core.events import RunCancelling
from services.runcontrol.core.finishing import finish
from services.runcontrol.core.model import RunState, Termination, TerminationReason
from services.runcontrol.core.work import Work


class CancelOutcome(Enum):
    CANCELLED = "cancelled"
    CANCELLING = "cancelling"
    ALREADY_DONE = "already_done"
    NOTHING_ACTIVE = "nothing_active"


def cancel(work: Work, reason: str) -> tuple[Work, CancelOutcome]:
    """End the run, or record the request for its owner if it executes."""
    match work.run.state:
        case RunState.DONE:
            return work, CancelOutcome.ALREADY_DONE
        case RunState.CANCELLING:
            return work, CancelOutcome.CANCELLING
        case RunState.QUEUED | RunState.WAITING:
            ended = work.on_run(cancel_reason=reason)
            termination = Termination(TerminationReason.CANCELLED, reason)
            return finish(ended, termination), CancelOutcome.CANCELLED
        case RunState.RUNNING:
            return _ask_owner(work, reason), CancelOutcome.CANCELLING
        case never:
            assert_never(never)


def _ask_owner(work: Work, reason: str) -> Work:
    lease = replace(work.lease, cancel_requested=True) if work.lease else None
    work = replace(work, lease=lease).on_run(state=RunState.CANCELLING, cancel_reason=reason)
    return work.emit(RunCancelling(reason))


def expire(work: Work) -> Work:
    """End a queued or waiting run whose deadline has passed; return any other run unchanged.

    The owner of an executing run ends it. The deadline of a parked run is paused.
    """
    idle = work.run.state in (RunState.QUEUED, RunState.WAITING)
    if not idle or work.run.paused_at is not None or work.now < work.run.deadline_at:
        return work
    text = "the run's deadline passed"
    return finish(work, Termination(TerminationReason.DEADLINE, text))
