"""Tickets: one winner, used once, for the arguments it was opened for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.chassis.caller import LOCAL_PRINCIPAL
from services.chassis.errors import IdempotencyConflictError
from services.content.model import Approval
from services.runcontrol.core.commands import SendCommand
from services.runcontrol.core.errors import (
    TicketAmbiguousError,
    TicketNotFoundError,
    VerdictNotApplicableError,
)
from services.runcontrol.core.exchange import CallState, TicketKind, TicketState, VerdictKind
from services.runcontrol.core.gating import argument_digest
from services.runcontrol.core.model import RunState, TerminationReason, WaitingKind
from services.runcontrol.core.ports import TicketFilter
from services.runcontrol.core.specs import Builtin
from services.runcontrol.core.stepping import Ended, Infer, Parked
from services.runcontrol.core.tickets import DecisionOutcome
from tests.unit.runcontrol.world import ASK_TOOL, World, agent, now, tool

GUARDED = (ASK_TOOL, '{"body": "hi", "pool_id": "room"}')


def gated() -> World:
    """A run that waits for approval of one message."""
    world = World()
    world.start(GUARDED)
    return world


def test_a_guarded_call_waits_for_a_person_and_holds_nothing() -> None:
    # given a run
    world = World()

    # when its model calls a tool that needs consent
    _, following = world.start(GUARDED)

    # then there is a ticket, and no lease
    ticket = world.ticket()
    assert following == Parked()
    assert (ticket.kind, ticket.state) == (TicketKind.APPROVAL, TicketState.OPEN)
    assert ticket.digest == world.call().digest
    assert [(r.kind, r.ticket_id) for r in world.run().waiting] == [
        (WaitingKind.APPROVAL, ticket.ticket_id)
    ]
    assert world.store.tables.leases == {}
    assert world.store.tables.outbox == []


def test_an_approval_is_used_when_its_effect_starts() -> None:
    # given an approved call
    world = gated()
    decided = world.decide(VerdictKind.APPROVE)
    before = world.ticket().state

    # when the run continues
    world.advance(world.claim_one())

    # then the message leaves, and the approval with it
    assert decided.outcome is DecisionOutcome.ACCEPTED
    assert (before, world.ticket().state) == (TicketState.DECIDED, TicketState.CONSUMED)
    assert isinstance(world.command(), SendCommand)
    assert len(world.store.tables.outbox) == 1
    assert [r.kind for r in world.run().waiting] == [WaitingKind.TOOL]


@pytest.mark.parametrize(
    ("kind", "text", "state", "result"),
    [
        (VerdictKind.DENY, "risky", CallState.FAILED, "denied: risky"),
        (VerdictKind.DENY, "", CallState.FAILED, "denied"),
        (VerdictKind.ANSWER, "yes", CallState.SUCCEEDED, "yes"),
        (VerdictKind.CANCEL_CALL, "", CallState.CANCELLED, "cancelled by a person"),
    ],
)
def test_other_verdicts_settle_the_call_without_effect(
    kind: VerdictKind, text: str, state: CallState, result: str
) -> None:
    # given a run that waits for approval
    world = gated()

    # when it gets another verdict and continues
    world.decide(kind, text)
    following = world.advance(world.claim_one())

    # then nothing is sent and the model reads the verdict
    assert following == Infer(2)
    assert (world.call().state, world.call().result) == (state, result)
    assert world.store.tables.outbox == []


def test_a_verdict_can_end_the_run() -> None:
    # given a run that waits for approval of two calls
    world = World()
    world.start(GUARDED, GUARDED)

    # when one verdict is to cancel the run
    world.decide(VerdictKind.CANCEL_RUN, "no more", ticket_id=world.ticket(0).ticket_id)
    following = world.advance(world.claim_one())

    # then it is over, and the other ticket is void
    ended = world.run().termination
    assert following == Ended()
    assert ended is not None
    assert (ended.reason, ended.message) == (TerminationReason.CANCELLED, "no more")
    assert world.ticket(1).state is TicketState.VOID


def test_each_call_waits_for_its_own_decision() -> None:
    # given a run that waits for approval of two calls
    world = World()
    world.start(GUARDED, GUARDED)

    # when one is approved
    world.decide(VerdictKind.APPROVE, ticket_id=world.ticket(0).ticket_id)
    world.advance(world.claim_one())

    # then the other still waits
    assert [c.state for c in world.store.tables.calls.values()] == [
        CallState.DISPATCHED,
        CallState.GATED,
    ]
    assert [r.kind for r in world.run().waiting] == [WaitingKind.TOOL, WaitingKind.APPROVAL]


def test_a_decision_that_comes_while_the_run_executes_is_found_by_it() -> None:
    # given a run that executes because one of its two tickets was decided
    world = World()
    world.start(GUARDED, GUARDED)
    world.decide(VerdictKind.DENY, ticket_id=world.ticket(0).ticket_id)
    claimed = world.claim_one()

    # when the other one is decided now
    world.decide(VerdictKind.DENY, ticket_id=world.ticket(1).ticket_id)

    # then it goes on with both
    assert world.run().state is RunState.RUNNING
    assert world.advance(claimed) == Infer(2)


def test_the_first_decision_wins_for_good() -> None:
    # given a decided ticket
    world = gated()
    world.decide(VerdictKind.APPROVE, decision_id="a")

    # when it is repeated, contradicted by others, and repeated with other content
    repeat = world.decide(VerdictKind.APPROVE, decision_id="a")
    loser = world.decide(VerdictKind.DENY, decision_id="b")
    loser_again = world.decide(VerdictKind.DENY, decision_id="b")
    with pytest.raises(IdempotencyConflictError):
        world.decide(VerdictKind.DENY, decision_id="a")

    # then the first one stands and everybody knows
    assert repeat.outcome is DecisionOutcome.DUPLICATE
    assert loser.outcome is loser_again.outcome is DecisionOutcome.CONFLICT
    assert loser.ticket.winner is not None
    assert loser.ticket.winner.decision_id == "a"
    assert world.kinds().count("TicketDecided") == 1


def test_a_verdict_must_answer_the_question() -> None:
    # given an agent's question
    world = World()
    world.start(("ask_human", '{"question": "why?"}'))

    # when it is approved
    with pytest.raises(VerdictNotApplicableError) as refused:
        world.decide(VerdictKind.APPROVE)

    # then that is no answer, and the ticket stays open
    assert refused.value.metadata == {"verdict": "approve", "kind": "question"}
    assert world.ticket().state is TicketState.OPEN


def test_a_question_that_needs_consent_has_two_tickets() -> None:
    # given an agent whose questions need consent
    world = World(agent(tools=(tool("ask_human", Builtin.ASK_HUMAN, Approval.ASK),)))
    world.start(("ask_human", '{"question": "why?"}'))

    # when asking is approved, and then answered
    world.decide(VerdictKind.APPROVE)
    parked = world.advance(world.claim_one())
    waiting = world.run().waiting
    world.decide(VerdictKind.ANSWER, "because")
    world.advance(world.claim_one())

    # then they are two tickets, each used
    assert parked == Parked()
    assert [r.kind for r in waiting] == [WaitingKind.USER_INPUT]
    kinds = [(x.kind, x.state) for x in world.store.tables.tickets.values()]
    assert kinds == [
        (TicketKind.APPROVAL, TicketState.CONSUMED),
        (TicketKind.QUESTION, TicketState.CONSUMED),
    ]
    assert world.call().result == "because"


def test_a_decision_about_something_else_is_stale() -> None:
    # given a ticket
    world = gated()

    # when somebody decides what they saw, which was something else, and then what it is
    stale = world.decide(VerdictKind.APPROVE, decision_id="a", expected_digest=b"other")
    right = world.decide(
        VerdictKind.APPROVE, decision_id="b", expected_digest=world.ticket().digest
    )

    # then only the second counts
    assert (stale.outcome, stale.why) == (DecisionOutcome.STALE, "digest_differs")
    assert right.outcome is DecisionOutcome.ACCEPTED


def test_a_stale_decision_that_is_corrected_wins_under_its_own_name() -> None:
    # given a decision about something else
    world = gated()
    world.decide(VerdictKind.APPROVE, decision_id="a", expected_digest=b"other")

    # when the same person hands it in again, for what the ticket says, and repeats that
    right, repeat = (
        world.decide(VerdictKind.APPROVE, decision_id="a", expected_digest=world.ticket().digest)
        for _ in range(2)
    )

    # then the repeat is known for what it is
    assert right.outcome is DecisionOutcome.ACCEPTED
    assert repeat.outcome is DecisionOutcome.DUPLICATE
    assert [d.won for d in world.store.tables.decisions.values()] == [True]


@pytest.mark.parametrize("why", ["cancelled", "expired"])
def test_a_decision_after_the_fact_is_stale(why: str) -> None:
    # given a ticket that is void, or has expired
    world = gated()
    if why == "cancelled":
        world.cancel(run_id=world.run().run_id)
    else:
        (key,) = world.store.tables.tickets
        expired = replace(world.ticket(), state=TicketState.EXPIRED)
        world.store.tables.tickets[key] = expired

    # when it is decided
    late = world.decide(VerdictKind.APPROVE)

    # then it is too late
    assert (late.outcome, late.why) == (DecisionOutcome.STALE, why)


def test_an_approval_of_other_arguments_approves_nothing() -> None:
    # given an approved call whose arguments are not what was approved
    world = gated()
    world.decide(VerdictKind.APPROVE)
    (key,) = world.store.tables.calls
    changed = replace(world.call(), arguments_json='{"body": "other", "pool_id": "room"}')
    world.store.tables.calls[key] = changed

    # when the run continues
    world.advance(world.claim_one())

    # then nothing is sent
    assert world.store.tables.outbox == []
    assert (world.ticket().state, world.ticket().void_reason) == (
        TicketState.VOID,
        "args_changed",
    )
    assert world.call().state is CallState.FAILED


@pytest.mark.parametrize("name", ["call_id", "model_call_id"])
@pytest.mark.parametrize("target", ["run_id", "thread_id"])
def test_a_ticket_is_found_by_its_call(name: str, target: str) -> None:
    # given a run that waits for approval
    world = gated()
    where = {target: getattr(world.run(), target)}

    # when the decision names the call, as we or as the model does
    decided = world.decide(VerdictKind.APPROVE, call_id=getattr(world.call(), name), **where)

    # then it is that ticket's
    assert decided.outcome is DecisionOutcome.ACCEPTED


def test_a_name_that_fits_two_tickets_or_none_decides_nothing() -> None:
    # given two calls that the model gave the same name
    world = World()
    world.start(GUARDED, GUARDED)
    for key, ticket in world.store.tables.tickets.items():
        world.store.tables.tickets[key] = replace(ticket, model_call_id="same")
    run_id = world.run().run_id

    # when that name, and one that nobody has, are decided
    with pytest.raises(TicketAmbiguousError):
        world.decide(VerdictKind.APPROVE, call_id="same", run_id=run_id)
    with pytest.raises(TicketNotFoundError):
        world.decide(VerdictKind.APPROVE, call_id="other", run_id=run_id)

    # then both are open
    assert {x.state for x in world.store.tables.tickets.values()} == {TicketState.OPEN}


@pytest.mark.parametrize("where", [{"run_id": "other"}, {"thread_id": "other"}])
def test_a_ticket_of_another_run_or_thread_is_not_found(where: dict[str, str]) -> None:
    # given a ticket
    world = gated()

    # when it is looked for in another run or thread
    with pytest.raises(TicketNotFoundError):
        world.decide(VerdictKind.APPROVE, ticket_id=world.ticket().ticket_id, **where)
    # then it is not there, and one that never was is not either
    with pytest.raises(TicketNotFoundError):
        world.decide(VerdictKind.APPROVE, ticket_id="none")


def test_tickets_can_be_read_and_listed() -> None:
    # given a ticket
    world = gated()
    ticket = world.ticket()

    # when it is read and listed, and one that is not there is read
    found = now(world.runs.ticket(LOCAL_PRINCIPAL, ticket.ticket_id))
    listed = now(world.runs.list_tickets(LOCAL_PRINCIPAL, TicketFilter()))
    with pytest.raises(TicketNotFoundError):
        now(world.runs.ticket(LOCAL_PRINCIPAL, "none"))

    # then both give it
    assert (found, listed) == (ticket, [ticket])


def test_equal_arguments_have_one_digest_however_they_are_written() -> None:
    # given the same object written in two ways, and another one
    one = argument_digest("t", "v", '{"a": 1, "b": 2}')
    two = argument_digest("t", "v", '{"b":2,"a":1}')
    other = argument_digest("t", "v", '{"a": 1, "b": 3}')

    # when they are compared, also with another tool version and with no JSON at all
    # then only equal meaning is equal
    assert one == two
    different = {one, other, argument_digest("t", "w", '{"a": 1, "b": 2}')}
    assert len(different | {argument_digest("t", "v", "{")}) == 4
    assert argument_digest("t", "v", "") == argument_digest("t", "v", "{}")
