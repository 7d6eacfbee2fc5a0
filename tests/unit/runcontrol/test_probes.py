"""Lost calls of reconcilable tools: a worker is asked before a person is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.content.model import EffectClass
from services.runcontrol.core.events import ProbeOutcome, ToolCallProbed
from services.runcontrol.core.exchange import Call, CallState, TicketKind, VerdictKind
from services.runcontrol.core.model import RunState, WaitingKind
from services.runcontrol.core.worker_calls import (
    CallRef,
    Cancelled,
    Effect,
    ResultOutcome,
    Succeeded,
)
from tests.unit.runcontrol.in_memory_runcontrol import now
from tests.unit.runcontrol.worker_desk import OTHER, Desk, desk


def lost_desk() -> tuple[Desk, CallRef]:
    """A desk whose call was accepted and lost."""
    at = desk(EffectClass.RECONCILABLE)
    ref = at.accepted()
    assert at.pass_time(15.0) == 1
    return at, ref


def lost(at: Desk) -> list[Call]:
    return now(at.system.workers.lost("default"))


def find(at: Desk, ref: CallRef, effect: Effect, content: str = "") -> None:
    now(at.system.workers.take_finding("default", ref, effect, content))


def probed(at: Desk) -> ProbeOutcome:
    event = at.system.last_event(ToolCallProbed)
    assert event.call_id == at.call.call_id
    return event.outcome


def test_workers_are_asked_about_a_lost_call() -> None:
    # given a call whose worker was lost
    at, ref = lost_desk()

    # then workers are asked about it, nobody gets it, and no person is asked
    (asked,) = lost(at)
    taken = now(at.system.workers.to_probe(asked))
    assert taken is not None
    assert (taken.ref, taken.agent_id, taken.tool_version) == (ref, "helper", "v1")
    assert (at.call.state, at.call.settled) == (CallState.UNKNOWN, False)
    assert [reason.kind for reason in at.system.run().waiting] == [WaitingKind.TOOL]
    assert at.system.tables.tickets == {}
    assert at.take(OTHER) is None


def test_a_call_that_took_effect_has_its_result() -> None:
    at, ref = lost_desk()
    find(at, ref, Effect.DONE, "shipped")
    assert (at.call.state, at.call.result) == (CallState.SUCCEEDED, "shipped")
    assert probed(at) is ProbeOutcome.HAPPENED
    assert at.system.run().dispatch_id
    assert lost(at) == []


def test_a_call_that_took_no_effect_is_given_again() -> None:
    at, ref = lost_desk()
    find(at, ref, Effect.NONE)
    assert (at.call.state, at.call.generation) == (CallState.READY, 1)
    assert probed(at) is ProbeOutcome.DID_NOT_HAPPEN
    assert lost(at) == []
    assert at.take(OTHER) is None
    at.system.clock.advance(0.5)
    assert at.take(OTHER) is not None


def test_a_call_that_takes_no_effect_five_times_fails() -> None:
    at = desk(EffectClass.RECONCILABLE)
    for tries in range(1, 6):
        ref = at.accepted()
        at.pass_time(15.0)
        find(at, ref, Effect.NONE)
        at.system.clock.advance(0.5 * 2 ** (tries - 1))
    assert at.call.state is CallState.FAILED
    assert at.call.result == "the call did not take effect; 5 attempts were made"


def test_a_person_is_asked_when_the_worker_cannot_tell() -> None:
    at, ref = lost_desk()
    find(at, ref, Effect.UNKNOWN)
    ticket = at.system.ticket()
    assert probed(at) is ProbeOutcome.UNKNOWN
    assert ticket.kind is TicketKind.RECONCILE
    assert ticket.question == (
        "lookup is lost, its worker cannot tell what has become of it, and may have taken effect: "
        "has it?"
    )
    assert [reason.kind for reason in at.system.run().waiting] == [WaitingKind.RECONCILE]
    assert lost(at) == []


def test_a_person_is_asked_when_no_worker_answers_within_30_s() -> None:
    at, _ = lost_desk()
    assert at.pass_time(29.999) == 0
    assert at.pass_time(0.001) == 1
    assert probed(at) is ProbeOutcome.NOT_ANSWERED
    assert at.system.ticket().question == (
        "lookup is lost, no worker says what has become of it, and may have taken effect: has it?"
    )
    assert at.pass_time(3600.0) == 0
    at.system.decide(VerdictKind.HAPPENED, "so")
    at.system.advance(at.system.claim_one())
    assert (at.call.state, at.call.result) == (CallState.SUCCEEDED, "so")


def test_a_worker_that_was_stopped_and_cannot_tell_is_asked_too() -> None:
    at = desk(EffectClass.RECONCILABLE)
    ref = at.accepted()
    assert at.report(ref, Cancelled(Effect.UNKNOWN)) is ResultOutcome.COMMITTED
    assert [call.call_id for call in lost(at)] == [ref.call_id]


@pytest.mark.parametrize("effect", list(Effect))
def test_an_answer_that_comes_after_a_person_was_asked_counts_for_nothing(effect: Effect) -> None:
    at, ref = lost_desk()
    at.pass_time(30.0)
    before = at.system.tables
    find(at, ref, effect, "shipped")
    assert at.system.tables.calls == before.calls
    assert at.system.tables.events == before.events


@pytest.mark.parametrize("effect", list(Effect))
def test_an_answer_about_another_attempt_counts_for_nothing(effect: Effect) -> None:
    at, ref = lost_desk()
    for other in (replace(ref, attempt=2), replace(ref, fence=99), replace(ref, call_id="none")):
        find(at, other, effect, "shipped")
    assert len(lost(at)) == 1


def test_a_late_result_answers_before_a_probe_does() -> None:
    at, ref = lost_desk()
    assert at.report(ref, Succeeded("shipped")) is ResultOutcome.COMMITTED
    find(at, ref, Effect.NONE)
    assert (at.call.state, at.call.result) == (CallState.SUCCEEDED, "shipped")
    assert lost(at) == []


def test_nobody_is_asked_about_a_call_of_a_run_that_has_ended() -> None:
    # given a lost call that a worker is about to be asked of
    at, ref = lost_desk()
    (asked,) = lost(at)

    # when its run is cancelled
    at.system.cancel(run_id=ref.call_id.partition(".")[0])

    # then nothing asks about it any more, and its effect stays unknown
    assert at.system.run().state is RunState.DONE
    assert at.call.state is CallState.UNKNOWN
    assert lost(at) == []
    assert now(at.system.workers.to_probe(asked)) is None
    assert at.pass_time(30.0) == 0
    gone = replace(asked, run_id="none")
    assert now(at.system.workers.to_probe(gone)) is None
