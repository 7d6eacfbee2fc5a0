"""What workers report and does not count is kept for whoever has to find out what happened."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.content.model import EffectClass
from services.runcontrol.core.exchange import CallState, LateResult, VerdictKind
from services.runcontrol.core.worker_calls import (
    CallRef,
    Cancelled,
    Effect,
    Failed,
    Outcome,
    ResultOutcome,
    Succeeded,
)
from tests.support.callers import LOCAL
from tests.unit.runcontrol.in_memory_runcontrol import now
from tests.unit.runcontrol.worker_desk import Desk, desk


def twice_accepted() -> tuple[Desk, CallRef]:
    """A desk with the second attempt of a call, and the first attempt."""
    at = desk(EffectClass.IDEMPOTENT)
    first = at.accepted()
    at.pass_time(15.0)
    at.system.clock.advance(0.5)
    at.accepted()
    return at, first


def report(at: Desk, ref: CallRef, outcome: Outcome, worker_id: str = "") -> object:
    return now(at.system.workers.report(LOCAL, ref, outcome, worker_id))


@pytest.mark.parametrize(
    ("outcome", "state", "text"),
    [
        (Succeeded("shipped"), CallState.SUCCEEDED, "shipped"),
        (Succeeded("x" * 5000), CallState.SUCCEEDED, "x" * 4096),
        (Failed("NO_STOCK", "none"), CallState.FAILED, "NO_STOCK: none"),
        (Cancelled(Effect.NONE), CallState.CANCELLED, "stopped before it took effect"),
        (
            Cancelled(Effect.UNKNOWN),
            CallState.CANCELLED,
            "stopped; whether it took effect is not known",
        ),
    ],
)
def test_the_result_of_a_fenced_attempt_is_kept(
    outcome: Outcome, state: CallState, text: str
) -> None:
    # given an attempt that another one followed
    at, first = twice_accepted()

    # when its worker reports it, twice
    assert report(at, first, outcome, "clerk") is ResultOutcome.FENCED
    assert report(at, first, outcome, "clerk") is ResultOutcome.FENCED

    # then it is kept once, with who reported it and when, and the call goes on
    received_at = at.system.clock.now()
    late = LateResult(1, first.fence, "local", "clerk", state, text, received_at)
    assert at.call.late_results == (late,)
    assert at.call.state is CallState.ACCEPTED


def test_only_the_newest_eight_are_kept() -> None:
    at, first = twice_accepted()
    for number in range(10):
        report(at, first, Succeeded(f"{number}"))
    assert [late.text for late in at.call.late_results] == [f"{number}" for number in range(2, 10)]


def test_what_contradicts_a_settled_call_is_kept() -> None:
    # given a lost call of which a person has said what became of it
    at = desk()
    ref = at.accepted()
    at.pass_time(15.0)
    at.system.decide(VerdictKind.ABANDON)
    at.system.advance(at.system.claim_one())

    # when its worker reports it after all
    assert report(at, ref, Succeeded("shipped")) is ResultOutcome.DUPLICATE

    # then the call stays as it is, and the report is kept
    assert at.call.state is CallState.FAILED
    assert [late.text for late in at.call.late_results] == ["shipped"]


def test_a_repeat_of_the_result_is_not_kept() -> None:
    at = desk()
    ref = at.accepted()
    report(at, ref, Succeeded("shipped"))
    assert report(at, ref, Succeeded("shipped")) is ResultOutcome.DUPLICATE
    assert at.call.late_results == ()


def test_a_result_of_an_attempt_that_was_never_made_is_not_kept() -> None:
    at, first = twice_accepted()
    assert report(at, replace(first, attempt=3), Succeeded("x")) is ResultOutcome.FENCED
    assert at.call.late_results == ()
