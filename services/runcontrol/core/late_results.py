"""Results of workers that do not count: kept with the call, as evidence of what happened."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.runcontrol.core.exchange import Call, CallState, LateResult
from services.runcontrol.core.worker_calls import (
    CallRef,
    Failed,
    Outcome,
    Succeeded,
    stopped_text,
)

MAX_LATE_RESULTS = 8
MAX_TEXT_CHARS = 4096


def late_result(
    ref: CallRef, outcome: Outcome, reported_by: str, worker_id: str, now: datetime
) -> LateResult:
    """What a worker has reported, as it is kept."""
    if isinstance(outcome, Succeeded):
        state, text = CallState.SUCCEEDED, outcome.content
    elif isinstance(outcome, Failed):
        state, text = CallState.FAILED, f"{outcome.code}: {outcome.message}"
    else:
        state, text = CallState.CANCELLED, stopped_text(outcome.effect)
    cut = text[:MAX_TEXT_CHARS]
    return LateResult(ref.attempt, ref.fence, reported_by, worker_id, state, cut, now)


def keep(call: Call, late: LateResult) -> Call:
    """The call with one more result, unless it says what is known.

    A repeat of the call's own result is known, and of one that is kept. So is nothing of an attempt
    that was never made.
    """
    is_own = (late.attempt, late.fence) == (call.attempt, call.fence)
    if late.attempt > call.attempt or (is_own and call.result[:MAX_TEXT_CHARS] == late.text):
        return call
    if any(_said(each) == _said(late) for each in call.late_results):
        return call
    return replace(call, late_results=(*call.late_results, late)[-MAX_LATE_RESULTS:])


def _said(late: LateResult) -> tuple[int, int, CallState, str]:
    return late.attempt, late.fence, late.state, late.text
