"""Calls of workers: what becomes of one that is lost, late, handed back or not wanted any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.chassis.errors import DomainError
from services.content.model import Approval, EffectClass
from services.runcontrol.core.errors import CallNotFoundError
from services.runcontrol.core.events import (
    RunParked,
)
from services.runcontrol.core.exchange import CallState, TicketKind, TicketState, VerdictKind
from services.runcontrol.core.model import WaitingKind
from services.runcontrol.core.specs import Builtin, ToolSpec
from services.runcontrol.core.stepping import Infer
from services.runcontrol.core.work import Work
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
from tests.support.memory_runcontrol import MemoryTx
from tests.unit.runcontrol.in_memory_runcontrol import QUESTION, InMemoryRunControl, agent, now
from tests.unit.runcontrol.worker_desk import (
    LOOKUP,
    OTHER,
    TWICE,
    WORKER,
    desk,
    two_calls,
)


@pytest.mark.parametrize("effect", TWICE)
@pytest.mark.parametrize("lost", ["lease", "timeout"])
def test_a_lost_call_that_may_run_twice_does_so_five_times(effect: EffectClass, lost: str) -> None:
    # given a call whose workers are lost one after the other
    at = desk(effect, timeout_s=10.0 if lost == "timeout" else 60.0)
    for tries in range(1, 6):
        at.accepted()
        assert at.call.tries == tries
        assert at.pass_time(15.0) == 1
        if tries < 5:
            assert at.call.state is CallState.READY
            assert at.take() is None
            at.system.clock.advance(0.5 * 2 ** (tries - 1))

    # then it fails for good
    what = "timed out after 10 s" if lost == "timeout" else "lost its worker"
    assert at.call.state is CallState.FAILED
    assert at.call.result == f"the call {what}; 5 attempts were made"
    assert at.system.run().dispatch_id


def test_a_lost_call_that_must_not_run_twice_asks_a_person() -> None:
    # given an accepted call
    at = desk(EffectClass.AT_MOST_ONCE)
    at.accepted()

    # when its worker is lost
    assert at.pass_time(15.0) == 1

    # then a person is asked, and nobody gets the call
    ticket = at.system.ticket()
    assert (at.call.state, at.call.settled) == (CallState.UNKNOWN, False)
    assert (ticket.kind, ticket.state) == (TicketKind.RECONCILE, TicketState.OPEN)
    assert ticket.question == "lookup lost its worker, and may have taken effect: has it?"
    assert [reason.kind for reason in at.system.run().waiting] == [WaitingKind.RECONCILE]
    assert at.system.last_event(RunParked).reasons == at.system.run().waiting
    assert at.system.run().paused_at == at.system.clock.now() - timedelta(seconds=15)
    assert at.take() is None
    assert at.pass_time(3600.0) == 0


@pytest.mark.parametrize(
    ("verdict", "state", "result"),
    [
        (VerdictKind.HAPPENED, CallState.SUCCEEDED, "so"),
        (
            VerdictKind.ABANDON,
            CallState.FAILED,
            "given up: nobody knows whether it took effect",
        ),
    ],
)
def test_a_person_says_what_has_become_of_it(
    verdict: VerdictKind, state: CallState, result: str
) -> None:
    at = desk()
    at.accepted()
    at.pass_time(15.0)
    at.system.decide(verdict, "so")
    at.system.advance(at.system.claim_one())
    assert (at.call.state, at.call.result) == (state, result)


def test_a_call_that_did_not_happen_is_given_again() -> None:
    at = desk()
    at.accepted()
    at.pass_time(15.0)
    at.system.decide(VerdictKind.DID_NOT_HAPPEN)
    at.system.advance(at.system.claim_one())
    assert (at.call.state, at.call.generation, at.call.tries) == (CallState.READY, 1, 0)
    at.accepted()
    at.pass_time(15.0)
    assert len(at.system.tables.tickets) == 2


@pytest.mark.parametrize("verdict", [VerdictKind.APPROVE, VerdictKind.ANSWER, VerdictKind.DENY])
def test_other_verdicts_do_not_answer_it(verdict: VerdictKind) -> None:
    at = desk()
    at.accepted()
    at.pass_time(15.0)
    with pytest.raises(DomainError, match="does not decide a reconcile ticket"):
        at.system.decide(verdict)


def test_a_late_result_answers_before_a_person_does() -> None:
    at = desk()
    ref = at.accepted()
    at.pass_time(15.0)
    assert at.report(ref, Succeeded("shipped")) is ResultOutcome.COMMITTED
    ticket = at.system.ticket()
    assert (ticket.state, ticket.void_reason) == (TicketState.VOID, "result_arrived")
    assert (at.call.state, at.call.result) == (CallState.SUCCEEDED, "shipped")


def test_a_late_result_of_a_call_that_is_ready_again_counts() -> None:
    at = desk(EffectClass.IDEMPOTENT)
    ref = at.accepted()
    at.pass_time(15.0)
    assert at.call.state is CallState.READY
    assert at.report(ref, Succeeded("shipped")) is ResultOutcome.COMMITTED
    assert at.call.state is CallState.SUCCEEDED


def test_a_result_counts_once() -> None:
    at = desk()
    ref = at.accepted()
    assert at.report(ref, Succeeded("a")) is ResultOutcome.COMMITTED
    assert at.report(ref, Succeeded("b")) is ResultOutcome.DUPLICATE
    at.system.execute()
    assert at.report(ref, Succeeded("c")) is ResultOutcome.DUPLICATE
    assert at.call.result == "a"
    with pytest.raises(CallNotFoundError):
        at.report(CallRef("none", 1, 1), Succeeded("d"))


@pytest.mark.parametrize(
    ("outcome", "effect", "state", "text"),
    [
        (Failed("NO_STOCK", "none"), EffectClass.PURE, CallState.FAILED, "NO_STOCK: none"),
        (Failed("BUSY", "wait", retryable=True), EffectClass.PURE, CallState.READY, ""),
        (
            Failed("BUSY", "wait", retryable=True),
            EffectClass.AT_MOST_ONCE,
            CallState.FAILED,
            "BUSY: wait",
        ),
        (
            Cancelled(Effect.NONE),
            EffectClass.AT_MOST_ONCE,
            CallState.CANCELLED,
            "stopped before it took effect",
        ),
        (
            Cancelled(Effect.DONE),
            EffectClass.AT_MOST_ONCE,
            CallState.CANCELLED,
            "stopped after it took effect",
        ),
        (Cancelled(Effect.UNKNOWN), EffectClass.AT_MOST_ONCE, CallState.UNKNOWN, ""),
        (Cancelled(Effect.UNKNOWN), EffectClass.IDEMPOTENT, CallState.READY, ""),
    ],
)
def test_an_attempt_ends_as_its_worker_says(
    outcome: Outcome, effect: EffectClass, state: CallState, text: str
) -> None:
    at = desk(effect)
    assert at.report(at.accepted(), outcome) is ResultOutcome.COMMITTED
    assert (at.call.state, at.call.result) == (state, text)


def test_a_call_that_nobody_takes_fails_after_its_timeout() -> None:
    at = desk(timeout_s=2.5)
    assert at.pass_time(2.499) == 0
    assert at.pass_time(0.001) == 1
    assert (at.call.state, at.call.result) == (
        CallState.FAILED,
        "no worker took the call within 2.5 s",
    )


@pytest.mark.parametrize("accepted", [True, False])
def test_a_call_can_be_handed_back_and_does_not_count(*, accepted: bool) -> None:
    at = desk()
    ref = at.accepted() if accepted else at.taken()
    now(at.system.workers.hand_back("default", OTHER, ref))
    assert at.call.state is not CallState.READY
    now(at.system.workers.hand_back("default", WORKER, ref))
    assert (at.call.state, at.call.tries) == (CallState.READY, 0)
    assert at.take(OTHER) is not None


def test_a_worker_that_leaves_keeps_what_it_has_accepted_alone() -> None:
    # given a worker with a call that it has not accepted, and later one that it has
    at = desk()
    ref = at.taken()
    now(at.system.workers.lose_unaccepted("default", WORKER, [ref]))
    assert at.call.state is CallState.READY
    ref = at.accepted()
    assert now(at.system.workers.held("default", WORKER, [ref])) == {ref: at.call.tool_id}
    assert now(at.system.workers.held("default", OTHER, [ref])) == {}

    # when it leaves
    now(at.system.workers.lose_unaccepted("default", WORKER, [ref]))

    # then that is still its own
    assert at.call.state is CallState.ACCEPTED


@pytest.mark.parametrize(
    ("effect", "accepted", "state"),
    [
        (EffectClass.AT_MOST_ONCE, True, CallState.UNKNOWN),
        (EffectClass.RECONCILABLE, True, CallState.UNKNOWN),
        (EffectClass.IDEMPOTENT, True, CallState.CANCELLED),
        (EffectClass.AT_MOST_ONCE, False, CallState.CANCELLED),
    ],
)
def test_a_cancelled_run_says_which_effects_are_unknown(
    effect: EffectClass, accepted: bool, state: CallState
) -> None:
    at = desk(effect)
    ref = at.accepted() if accepted else at.taken()
    at.system.cancel(run_id=at.system.run().run_id)
    assert (at.call.state, at.call.settled) == (state, True)
    assert now(at.system.workers.held("default", WORKER, [ref])) == {}


def test_a_run_that_ends_while_a_person_is_asked_says_so() -> None:
    at = desk()
    at.accepted()
    at.pass_time(15.0)
    at.system.cancel(run_id=at.system.run().run_id)
    assert (at.call.state, at.call.settled) == (CallState.UNKNOWN, True)
    assert at.system.ticket().state is TicketState.VOID


def test_a_sweep_leaves_alone_what_was_ended_or_is_locked_meanwhile() -> None:
    # given a call that is overdue
    at = desk()
    ref = at.accepted()
    at.system.clock.advance(15.0)
    (key,) = now(at.system.store.write(lambda tx: tx.overdue_calls(at.system.clock.now(), 10)))

    # when it is reported before the sweep gets to it
    at.report(ref, Succeeded("done"))

    # then it stays as it is, and so does a call that is gone
    sweep = at.system.workers._sweep
    assert now(at.system.store.write(lambda tx: sweep(key, tx))) == 0
    gone = ("default", at.system.thread().thread_id, "r", "c")
    assert now(at.system.store.write(lambda tx: sweep(gone, tx))) == 0
    assert now(at.system.store.write(lambda tx: sweep(("default", "t", "r", "c"), tx))) == 0


def test_a_lost_call_of_a_run_that_goes_on_is_found_by_its_next_park() -> None:
    # given a run with two calls, one of which is lost while the other's result queues the run
    system, refs = two_calls()
    now(system.workers.report(LOCAL, refs[0], Succeeded("a")))

    # when the sweep finds the other one, and the run is claimed
    system.clock.advance(15.0)
    assert now(system.workers.sweep()) == 1
    system.advance(system.claim_one())

    # then it parks for the person
    assert [reason.kind for reason in system.run().waiting] == [WaitingKind.RECONCILE]


def test_a_result_that_arrives_while_the_run_executes_is_found_by_it() -> None:
    # given a run with two calls, claimed for the result of one
    system, refs = two_calls()
    now(system.workers.report(LOCAL, refs[0], Succeeded("a")))
    claimed = system.claim_one()

    # when the other's comes before it goes on
    now(system.workers.report(LOCAL, refs[1], Succeeded("b")))

    # then both are results of one message
    assert system.advance(claimed) == Infer(2)
    assert [part.content for part in system.prompt()[-1].parts] == ["a", "b"]  # type: ignore[union-attr]


def test_a_call_that_waits_goes_on_waiting_when_its_run_goes_on() -> None:
    # given a run with a call that waits for a worker, and one that a person is asked about
    waits = ToolSpec("lookup", "", "{}", EffectClass.PURE, Approval.ALLOW, None, "v1")
    asks = ToolSpec("ask_human", "", "{}", EffectClass.PURE, Approval.ALLOW, Builtin.ASK_HUMAN)
    system = InMemoryRunControl(agent(tools=(waits, asks)))
    now(system.workers.begin_session("default", WORKER, ["lookup"], ()))
    system.start(LOOKUP, QUESTION)
    until = system.call(0).timeout_at

    # when the person answers 10 s later
    system.clock.advance(10.0)
    system.decide(VerdictKind.ANSWER, "so")
    system.advance(system.claim_one())

    # then the call waits as long as before
    assert (system.call(0).state, system.call(0).timeout_at) == (CallState.READY, until)


def test_a_call_that_cannot_be_read_delays_itself_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given two overdue calls, one of which cannot be read
    system, refs = two_calls()
    system.clock.advance(15.0)
    load = MemoryTx.load

    def faulty(tx: MemoryTx, tenant: str, run_id: str, at: datetime) -> Work | None:
        if system.call(0).state is CallState.ACCEPTED:
            system.tables.calls["default", refs[0].call_id] = replace(
                system.call(0), state=CallState.UNKNOWN
            )
            raise ValueError("cannot be read")
        return load(tx, tenant, run_id, at)

    monkeypatch.setattr(MemoryTx, "load", faulty)

    # when they are swept
    assert now(system.workers.sweep()) == 1

    # then the other one was ended, and the log names the first
    assert system.call(1).state is CallState.UNKNOWN
    (record,) = [each for each in caplog.records if each.message == "row not served"]
    assert record.__dict__["call_id"] == refs[0].call_id


def test_an_answer_stands_when_the_worker_knows_no_more_than_before() -> None:
    # given a lost call of which a person has said what became of it
    at = desk()
    ref = at.accepted()
    at.pass_time(15.0)
    at.system.decide(VerdictKind.HAPPENED, "so")

    # when its worker says that it was stopped, and does not know whether it took effect
    assert at.report(ref, Cancelled(Effect.UNKNOWN)) is ResultOutcome.COMMITTED
    at.system.advance(at.system.claim_one())

    # then the answer is the result
    assert (at.call.state, at.call.result) == (CallState.SUCCEEDED, "so")
