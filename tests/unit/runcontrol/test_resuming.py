"""What input does to the waits of a run, and what keeps it waiting."""

from __future__ import annotations

from typing import Any

import pytest

from services.content.model import Approval, EffectClass, Role
from services.runcontrol.core.commands import CancelWakeCommand, CommandRefusal
from services.runcontrol.core.errors import ToolNotSupportedError
from services.runcontrol.core.events import RunResumed, RunWoken
from services.runcontrol.core.exchange import CallState, TicketState, VerdictKind
from services.runcontrol.core.model import (
    InputDisposition,
    InputMode,
    InputState,
    WaitingKind,
    WaitingReason,
)
from services.runcontrol.core.resuming import Blocked, blocked_by
from services.runcontrol.core.specs import ToolSpec
from services.runcontrol.core.stepping import Ended, Infer, Parked
from services.runcontrol.core.waking import WakeOutcome
from services.runcontrol.core.worker_calls import Succeeded
from tests.unit.runcontrol.in_memory_runcontrol import (
    GUARDED_SEND,
    JOINED,
    QUESTION,
    SEND,
    InMemoryRunControl,
    agent,
)
from tests.unit.runcontrol.run_states import (
    WAIT,
    asking,
    backing_off,
    guarded,
    waiting,
)
from tests.unit.runcontrol.worker_desk import desk

QUEUED, RESUMED, LIVE, BY_TICKETS, BY_CALLS = InputDisposition
QUEUE, INTERRUPT, RESUME, LIVE_INPUT = InputMode


def test_input_ends_the_wait_for_a_wake() -> None:
    # given a run that waits in a pool
    system = InMemoryRunControl()
    waiting(system)
    call = system.call()

    # when something is said to it, and the wake comes too late
    said = system.inject(LIVE_INPUT, "never mind", thread_id="t")
    late = system.wake(call.condition_id, call.run_id, message_ids=("m1",))

    # then the call is cancelled, in the pool too, and the run goes on with the input
    assert said.disposition is RESUMED
    assert system.call().state is CallState.CANCELLED
    command = system.command()
    assert isinstance(command, CancelWakeCommand)
    assert (command.call_id, command.condition_id) == (call.call_id, call.condition_id)
    assert late is WakeOutcome.DROPPED
    woken = system.last_event(RunWoken)
    assert (woken.cause, woken.call_id) == ("input", "")
    assert system.advance(system.claim_one()) == Infer(2)
    assert system.last_event(RunResumed).causes == ("input",)
    assert system.prompt()[-1].text == "never mind"


@pytest.mark.parametrize("answer", [JOINED, CommandRefusal("WAKE_NOT_FOUND", "gone")])
def test_the_pools_answer_to_the_cancel_of_a_wait_changes_nothing(answer: Any) -> None:
    # given a wait that input has ended
    system = InMemoryRunControl()
    waiting(system)
    system.inject(thread_id="t")
    before = system.tables

    # when the pool answers the cancel
    system.settle(system.command(), answer)

    # then everything is as it was
    assert system.tables == before


def test_a_wake_that_has_come_is_taken_before_the_input() -> None:
    # given a run that was woken and has not continued
    system = InMemoryRunControl()
    waiting(system)
    call = system.call()
    system.wake(call.condition_id, call.run_id)

    # when something is said to it, and it continues
    said = system.inject(thread_id="t")
    system.advance(system.claim_one())

    # then its wait has succeeded, nothing is cancelled, and the input follows
    assert said.disposition is RESUMED
    assert system.call().state is CallState.SUCCEEDED
    assert not any(isinstance(e.command, CancelWakeCommand) for e in system.tables.outbox)
    assert system.prompt()[-1].text == "more"


def test_input_answers_a_question(system: InMemoryRunControl) -> None:
    # given a run that asks a person
    asking(system)

    # when something is said to its thread
    system.inject(text="because", thread_id="t")

    # then its call has succeeded, the answer follows, and nobody can answer any more
    assert system.call().state is CallState.SUCCEEDED
    ticket = system.ticket()
    assert (ticket.state, ticket.void_reason) == (TicketState.VOID, "input")
    assert system.advance(system.claim_one()) == Infer(2)
    assert [m.role for m in system.prompt()][-2:] == [Role.TOOL, Role.USER]
    assert system.prompt()[-1].text == "because"
    assert system.decide(VerdictKind.ANSWER, "no").why == "input"


def test_input_starts_the_next_attempt_at_once(system: InMemoryRunControl) -> None:
    # given a run that waits ten minutes for its next attempt
    backing_off(system)
    assert system.claim() == []

    # when something is said to it
    system.inject(text="try now", thread_id="t")
    claimed = system.claim_one()

    # then the model is called with it
    assert system.advance(claimed) == Infer(1)
    assert [m.text for m in system.prompt()] == ["go", "try now"]
    assert system.answer(claimed) == Ended()


def test_input_is_no_approval(system: InMemoryRunControl) -> None:
    # given a run that waits for an approval
    guarded(system)

    # when something is said to it
    said = system.inject(text="yes, approved", thread_id="t")

    # then it is blocked by the ticket, and read behind the result of the approved call
    assert said.blocked_by == (system.ticket().ticket_id,)
    assert system.ticket().state is TicketState.OPEN
    assert system.claim() == []
    system.decide(VerdictKind.APPROVE)
    assert system.advance(system.claim_one()) == Parked()
    assert system.input(said.input_id).state is InputState.PENDING
    system.settle(system.command(), JOINED)
    assert system.advance(system.claim_one()) == Infer(2)
    assert system.prompt()[-1].text == "yes, approved"


def test_approvals_are_voided_when_input_says_so(system: InMemoryRunControl) -> None:
    # given a run that waits for two approvals and an answer
    system.start(GUARDED_SEND, GUARDED_SEND, QUESTION, thread_id="t")

    # when something is said that voids them
    said = system.inject(RESUME, "do not", thread_id="t", void_tickets=True)

    # then their calls are cancelled, and the run continues with the input
    assert said.disposition is RESUMED
    states = [call.state for call in system.tables.calls.values()]
    assert states == [CallState.CANCELLED, CallState.CANCELLED, CallState.SUCCEEDED]
    voided = {(t.state, t.void_reason) for t in system.tables.tickets.values()}
    assert voided == {(TicketState.VOID, "input")}
    assert system.advance(system.claim_one()) == Infer(2)
    assert system.prompt()[-1].text == "do not"


def test_voided_approvals_leave_input_blocked_by_calls(system: InMemoryRunControl) -> None:
    # given a run that waits for an approval and for a command
    system.start(GUARDED_SEND, SEND, thread_id="t")
    approval, command = system.tables.calls.values()

    # when something is said that voids the approval
    said = system.inject(thread_id="t", void_tickets=True)

    # then only the command blocks it
    assert (said.disposition, said.blocked_by) == (BY_CALLS, (command.call_id,))
    assert system.call(0).state is CallState.CANCELLED
    assert system.call(0).call_id == approval.call_id
    assert [r.kind for r in system.run().waiting] == [WaitingKind.TOOL]


def test_a_blocked_run_keeps_all_its_waits_until_it_goes_on() -> None:
    # given a run that waits for a wake and for an approval
    system = InMemoryRunControl()
    system.in_pool(WAIT, GUARDED_SEND, thread_id="t")

    # when something is said to it, and the approval is denied
    said = system.inject(thread_id="t")
    assert said.disposition is BY_TICKETS
    assert system.call(1).state is CallState.SUSPENDED
    system.decide(VerdictKind.DENY)
    following = system.advance(system.claim_one())

    # then the run does not park again: the input ends the wait that is left
    assert following == Infer(2)
    assert system.call(1).state is CallState.CANCELLED
    assert isinstance(system.command(), CancelWakeCommand)
    assert system.prompt()[-1].text == "more"


def test_a_run_that_has_input_does_not_park_for_a_wake() -> None:
    # given a run in a pool with live input
    system = InMemoryRunControl()
    claimed = system.join(thread_id="t")
    system.inject(LIVE_INPUT, thread_id="t")

    # when its model waits
    following = system.answer(claimed, WAIT)

    # then the wait ends with the input
    assert following == Infer(2)
    assert system.call().state is CallState.CANCELLED


def test_reconciliations_block_whether_or_not_tickets_are_voided() -> None:
    # given what a run waits for
    reasons = (
        WaitingReason(WaitingKind.RECONCILE, "c1", "t1"),
        WaitingReason(WaitingKind.WAKE, "c2", condition_id="w"),
        WaitingReason(WaitingKind.TOOL, "c3"),
    )

    # then a ticket blocks before a call, and a wake not at all
    assert blocked_by(reasons) == Blocked(BY_TICKETS, ("t1",))
    assert blocked_by(reasons[1:]) == Blocked(BY_CALLS, ("c3",))
    assert blocked_by(reasons[1:2]) == Blocked(RESUMED)


def test_input_waits_for_the_result_of_a_worker() -> None:
    # given a run with a call that a worker executes
    at = desk()
    ref = at.accepted()

    # when something is said to it, that would void approvals, and the worker reports
    said = at.system.inject(run_id=ref.call_id.split(".")[0], void_tickets=True)
    assert (said.disposition, said.blocked_by) == (BY_CALLS, (ref.call_id,))
    assert at.system.claim() == []
    at.report(ref, Succeeded("found"))

    # then the run reads the input behind the result
    assert at.system.advance(at.system.claim_one()) == Infer(2)
    assert [m.role for m in at.system.prompt()][-2:] == [Role.TOOL, Role.USER]
    assert at.call.state is CallState.SUCCEEDED


def test_input_waits_for_what_people_say_about_a_lost_call() -> None:
    # given a run with a call that a worker has lost, and that may have taken effect
    at = desk()
    at.accepted()
    at.pass_time(15.0)

    # when something is said to it, that would void approvals
    said = at.system.inject(run_id=at.call.run_id, void_tickets=True)

    # then the ticket is still open, and the run reads the input once it is decided
    assert (said.disposition, said.blocked_by) == (BY_TICKETS, (at.system.ticket().ticket_id,))
    assert at.system.ticket().state is TicketState.OPEN
    at.system.decide(VerdictKind.HAPPENED, "it did")
    assert at.system.advance(at.system.claim_one()) == Infer(2)
    assert at.system.prompt()[-1].text == "more"


def test_input_starts_no_run_of_an_agent_whose_tool_nobody_has_served() -> None:
    # given a finished run of an agent without workers
    system = InMemoryRunControl()
    system.start(thread_id="t")
    tool = ToolSpec("lookup", "", "{}", EffectClass.PURE, Approval.ALLOW, None, "v1")
    system.catalogs.agents = {"helper": agent(tools=(tool,))}
    before = system.tables

    # when something is said to it
    with pytest.raises(ToolNotSupportedError):
        system.inject(thread_id="t")

    # then nothing is stored
    assert system.tables is before
