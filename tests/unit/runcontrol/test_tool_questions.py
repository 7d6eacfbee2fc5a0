"""Tools that ask people in the middle of a call: what ends, what waits, and what goes on."""

from __future__ import annotations

import pytest

from services.content.model import Approval, EffectClass
from services.runcontrol.core.errors import VerdictNotApplicableError
from services.runcontrol.core.exchange import CallState, TicketKind, TicketState, VerdictKind
from services.runcontrol.core.model import InputDisposition, RunState, WaitingKind
from services.runcontrol.core.specs import ToolSpec
from services.runcontrol.core.worker_calls import (
    CallRef,
    Cancelled,
    Effect,
    ResultOutcome,
    Succeeded,
    Worker,
)
from tests.support.runcontrol_invariants import check
from tests.unit.runcontrol.in_memory_runcontrol import (
    GUARDED_SEND,
    InMemoryRunControl,
    agent,
    now,
)
from tests.unit.runcontrol.worker_desk import LOOKUP, ONCE, OTHER, TWICE, WORKER, Desk, desk

CLASSES = list(EffectClass)


def may_ask(at: Desk, ref: CallRef, worker: Worker = WORKER) -> bool:
    return now(at.system.workers.may_ask("default", worker, ref))


def ask(at: Desk, ref: CallRef, question: str = "how much?") -> ResultOutcome:
    return now(at.system.workers.ask("default", WORKER, ref, question, b"half done"))


def asking(effect: EffectClass = EffectClass.AT_MOST_ONCE) -> tuple[Desk, CallRef]:
    """A call whose tool has asked a person, and the attempt that did."""
    at = desk(effect)
    ref = at.accepted()
    assert ask(at, ref) is ResultOutcome.COMMITTED
    return at, ref


def go_on(at: Desk) -> None:
    """Let the run of a decided ticket continue."""
    at.system.advance(at.system.claim_one())


@pytest.mark.parametrize("effect", CLASSES)
def test_a_question_ends_the_attempt_and_nobody_holds_the_call(effect: EffectClass) -> None:
    # given a call whose tool asks a person
    at, ref = asking(effect)

    # when its worker is gone for an hour
    swept = at.pass_time(3_600.0)

    # then nothing is lost, whatever running it twice means: the run waits for the person alone
    assert swept == 0
    assert (at.call.state, at.call.due_at, at.call.timeout_at) == (CallState.SUSPENDED, None, None)
    (reason,) = at.system.run().waiting
    ticket = at.system.ticket()
    assert (reason.kind, reason.ticket_id) == (WaitingKind.TOOL_INPUT, ticket.ticket_id)
    assert (ticket.kind, ticket.question) == (TicketKind.TOOL_INPUT, "how much?")
    assert now(at.system.workers.held("default", WORKER, [ref])) == {}
    check(at.system.tables)


@pytest.mark.parametrize("effect", CLASSES)
@pytest.mark.parametrize(
    ("kind", "text", "given"),
    [
        (VerdictKind.ANSWER, '17 "euro"', '"17 \\"euro\\""'),
        (VerdictKind.PASS_TO_TOOL, '{"amount": 17}', '{"amount": 17}'),
    ],
)
def test_the_answer_begins_another_attempt_by_any_worker(
    effect: EffectClass, kind: VerdictKind, text: str, given: str
) -> None:
    # given a tool that has asked, and a person who answers
    at, _ = asking(effect)
    at.system.decide(kind, text, ticket_id=at.system.ticket().ticket_id)
    go_on(at)

    # when another worker takes the call, does not accept it, and takes it again
    first = at.take(OTHER)
    at.pass_time(3.0)
    second = at.take(OTHER)

    # then both times it has the answer, and what the tool had left
    for number, taken in enumerate((first, second), 2):
        assert taken is not None
        found = (taken.call.attempt, taken.call.answer_json, taken.call.sealed_state)
        assert found == (number, given, b"half done")
    assert at.accept(worker=OTHER).is_owner
    assert at.report(at.ref, Succeeded("paid")) is ResultOutcome.COMMITTED
    assert (at.call.state, at.call.result) == (CallState.SUCCEEDED, "paid")
    assert at.system.ticket().state is TicketState.CONSUMED
    check(at.system.tables)


def no_worker_can_tell(at: Desk) -> None:
    """Let the time pass in which workers are asked about a lost call, if they are."""
    if at.call.probe_until is not None:
        at.pass_time(31.0)


@pytest.mark.parametrize("effect", CLASSES)
def test_a_worker_that_is_lost_after_the_answer_is_lost_as_ever(effect: EffectClass) -> None:
    # given a tool that got its answer
    at, _ = asking(effect)
    at.system.decide(VerdictKind.ANSWER, "17", ticket_id=at.system.ticket().ticket_id)
    go_on(at)
    at.accepted()

    # when its worker is lost
    at.pass_time(16.0)

    # then a call that may run twice runs again with the answer, and of another a person is asked
    if effect in TWICE:
        assert (at.call.state, at.call.answer_json) == (CallState.READY, '"17"')
    else:
        assert effect in ONCE
        assert at.call.state is CallState.UNKNOWN
        no_worker_can_tell(at)
        assert at.system.ticket().kind is TicketKind.RECONCILE
        at.system.decide(VerdictKind.DID_NOT_HAPPEN, ticket_id=at.system.ticket().ticket_id)
        go_on(at)
        taken = at.take()
        assert taken is not None
        assert taken.call.answer_json == '"17"'
    check(at.system.tables)


def test_a_tool_may_ask_again_and_again() -> None:
    # given a tool that has asked, and got an answer
    at, _ = asking()
    for number in range(3):
        at.system.decide(
            VerdictKind.ANSWER, str(number), f"d{number}", ticket_id=at.system.ticket().ticket_id
        )
        go_on(at)

        # when its next attempt asks
        assert ask(at, at.accepted(), f"and {number}?") is ResultOutcome.COMMITTED

    # then each question has a ticket of its own
    tickets = list(at.system.tables.tickets.values())
    assert [each.question for each in tickets] == ["how much?", "and 0?", "and 1?", "and 2?"]
    assert [each.state for each in tickets] == [*[TicketState.CONSUMED] * 3, TicketState.OPEN]
    check(at.system.tables)


def test_a_question_that_is_sent_again_is_asked_once() -> None:
    # given a tool that has asked
    at, ref = asking()

    # when it is asked again, and a result of the same attempt arrives, before and after the answer
    before = [ask(at, ref), at.report(ref, Succeeded("late"))]
    at.system.decide(VerdictKind.ANSWER, "17", ticket_id=at.system.ticket().ticket_id)
    go_on(at)
    ready = [ask(at, ref), at.report(ref, Succeeded("late"))]
    at.accepted()
    after = [ask(at, ref), at.report(ref, Succeeded("late"))]

    # then it was asked once, and the attempt that asked has no result
    assert {*before, *ready} == {ResultOutcome.DUPLICATE}
    assert set(after) == {ResultOutcome.FENCED}
    assert len(at.system.tables.tickets) == 1


def test_only_who_holds_a_call_may_ask() -> None:
    # given a call that a worker was given and has not accepted
    at = desk()
    ref = at.taken()

    # when it asks too early, another one asks, and for calls and attempts that there are not
    early = ask(at, ref)
    assert at.accept(ref).is_owner
    workers = at.system.workers
    other = now(workers.ask("default", OTHER, ref, "how much?", b""))
    unknown = ask(at, CallRef("none", 1, 1))
    older = ask(at, CallRef(ref.call_id, ref.attempt - 1, ref.fence))

    # then none of them is heard
    assert {early, other, unknown, older} == {ResultOutcome.FENCED}
    assert at.system.tables.tickets == {}


@pytest.mark.parametrize("effect", ONCE)
def test_a_lost_worker_that_comes_back_with_a_question_is_heard(effect: EffectClass) -> None:
    # given a call whose worker was lost, so that a person is asked what became of it
    at = desk(effect)
    ref = at.accepted()
    at.pass_time(16.0)
    no_worker_can_tell(at)
    lost = at.system.ticket()

    # when the worker comes back, and its tool asks
    outcome = ask(at, ref)

    # then its question replaces the other one
    assert outcome is ResultOutcome.COMMITTED
    assert at.system.tables.tickets["default", lost.ticket_id].state is TicketState.VOID
    (reason,) = at.system.run().waiting
    assert reason.kind is WaitingKind.TOOL_INPUT
    check(at.system.tables)


@pytest.mark.parametrize("effect", CLASSES)
def test_a_lost_attempt_may_ask_until_it_has_or_another_one_was_made(effect: EffectClass) -> None:
    # given a lost attempt
    at = desk(effect)
    ref = at.accepted()
    at.pass_time(16.0)
    assert may_ask(at, ref)
    assert not may_ask(at, ref, OTHER)

    # when it asks, or the call is made again
    if effect in TWICE:
        at.system.clock.advance(1.0)
        at.taken()
    else:
        ask(at, ref)

    # then it may not any more
    assert not may_ask(at, ref)


def test_a_question_ends_the_search_for_what_became_of_a_lost_call() -> None:
    # given a lost call about which workers are asked
    at = desk(EffectClass.RECONCILABLE)
    ref = at.accepted()
    at.pass_time(16.0)
    assert at.call.probe_until is not None

    # when its worker comes back with a question, and then another one says what it found
    outcome = ask(at, ref)
    now(at.system.workers.take_finding("default", ref, Effect.DONE, "paid"))
    at.pass_time(31.0)

    # then the question alone counts
    assert outcome is ResultOutcome.COMMITTED
    assert (at.call.state, at.call.probe_until) == (CallState.SUSPENDED, None)
    assert [each.kind for each in at.system.tables.tickets.values()] == [TicketKind.TOOL_INPUT]
    check(at.system.tables)


@pytest.mark.parametrize("effect", ONCE)
def test_a_question_comes_too_late_once_a_person_has_said_what_happened(
    effect: EffectClass,
) -> None:
    # given a lost call of which a person has said that it happened
    at = desk(effect)
    ref = at.accepted()
    at.pass_time(16.0)
    no_worker_can_tell(at)
    at.system.decide(VerdictKind.HAPPENED, "paid", ticket_id=at.system.ticket().ticket_id)

    # when its worker comes back, and its tool asks
    # then the person's word stands
    assert not may_ask(at, ref)
    assert ask(at, ref) is ResultOutcome.FENCED
    go_on(at)
    assert (at.call.state, at.call.result) == (CallState.SUCCEEDED, "paid")
    assert ask(at, ref) is ResultOutcome.DUPLICATE


@pytest.mark.parametrize(
    ("kind", "state"),
    [(VerdictKind.CANCEL_CALL, CallState.CANCELLED), (VerdictKind.CANCEL_RUN, CallState.CANCELLED)],
)
def test_a_person_can_end_the_call_or_the_run_instead(kind: VerdictKind, state: CallState) -> None:
    # given a tool that has asked
    at, ref = asking()

    # when the person ends its call, or the run
    at.system.decide(kind, ticket_id=at.system.ticket().ticket_id)
    go_on(at)

    # then the call has ended, and a late result changes nothing
    assert at.call.state is state
    assert (at.system.run().state is RunState.DONE) == (kind is VerdictKind.CANCEL_RUN)
    assert at.report(ref, Cancelled(Effect.NONE)) is ResultOutcome.DUPLICATE


@pytest.mark.parametrize(
    "kind",
    [
        VerdictKind.APPROVE,
        VerdictKind.DENY,
        VerdictKind.HAPPENED,
        VerdictKind.DID_NOT_HAPPEN,
        VerdictKind.ABANDON,
    ],
)
def test_what_is_no_answer_is_refused(kind: VerdictKind) -> None:
    at, _ = asking()
    with pytest.raises(VerdictNotApplicableError):
        at.system.decide(kind, "so", ticket_id=at.system.ticket().ticket_id)
    assert at.system.ticket().state is TicketState.OPEN


def test_a_message_to_the_run_is_no_answer_to_a_tool() -> None:
    # given a tool that has asked
    at, _ = asking()

    # when somebody says something to the thread
    said = at.system.inject(thread_id=at.system.run().thread_id)

    # then it waits for the ticket
    assert said.disposition is InputDisposition.BLOCKED_BY_TICKETS
    assert said.blocked_by == (at.system.ticket().ticket_id,)
    assert at.call.state is CallState.SUSPENDED


def test_a_cancel_of_the_run_withdraws_the_question() -> None:
    at, _ = asking()
    at.system.cancel(run_id=at.system.run().run_id)
    assert (at.call.state, at.system.ticket().state) == (CallState.CANCELLED, TicketState.VOID)


def test_an_approval_can_hand_something_to_the_tool() -> None:
    # given a call of a worker that needs approval
    tool = ToolSpec("lookup", "", "{}", EffectClass.AT_MOST_ONCE, Approval.ASK, None, "v1")
    at = Desk(InMemoryRunControl(agent(tools=(tool,))))
    now(at.system.workers.begin_session("default", WORKER, ["lookup"], ()))
    at.system.start(LOOKUP)

    # when it is approved with a payload
    payload = '{"limit": 5}'
    at.system.decide(VerdictKind.PASS_TO_TOOL, payload, ticket_id=at.system.ticket().ticket_id)
    go_on(at)
    taken = at.take()

    # then the worker gets it with the call, whose arguments are as they were
    assert taken is not None
    found = (taken.call.arguments_json, taken.call.answer_json, taken.call.sealed_state)
    assert found == (LOOKUP[1], payload, None)
    check(at.system.tables)


def test_a_built_in_tool_takes_no_payload() -> None:
    # given a call of a built-in tool that needs approval
    system = InMemoryRunControl()
    system.start(GUARDED_SEND)

    # when it is approved with a payload
    with pytest.raises(VerdictNotApplicableError) as refused:
        system.decide(VerdictKind.PASS_TO_TOOL, "{}", ticket_id=system.ticket().ticket_id)

    # then that is refused with what to do instead, and the ticket is open
    others = "approve, approve_edited, deny, answer, cancel_call, cancel_run"
    assert str(refused.value) == (
        "pass_to_tool does not decide a ticket of guarded_send, a built-in tool, "
        f"which takes nothing but its arguments; these do: {others}"
    )
    assert refused.value.metadata == {
        "verdict": "pass_to_tool",
        "kind": "approval",
        "applicable": others,
    }
    assert system.ticket().state is TicketState.OPEN
