"""Tickets: one winner, applied once, for the arguments that the ticket shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
from services.runcontrol.core.model import RunState, TerminationReason, Thread, WaitingKind
from services.runcontrol.core.ports import TicketFilter
from services.runcontrol.core.specs import Builtin
from services.runcontrol.core.stepping import Ended, Infer, Parked
from services.runcontrol.core.tickets import DecisionOutcome
from tests.support.callers import LOCAL
from tests.support.memory_runcontrol import MemoryTx
from tests.unit.runcontrol.in_memory_runcontrol import (
    ASK_TOOL,
    GUARDED_SEND,
    QUESTION,
    InMemoryRunControl,
    agent,
    now,
    tool,
)


def gated() -> InMemoryRunControl:
    """A run that waits for approval of one message."""
    system = InMemoryRunControl()
    system.start(GUARDED_SEND)
    return system


def test_a_gated_call_parks_its_run(system: InMemoryRunControl) -> None:
    # given a run
    # when its model calls a tool that needs approval
    _, following = system.start(GUARDED_SEND)

    # then there is a ticket, and no lease
    ticket, (reason,) = system.ticket(), system.run().waiting
    assert following == Parked()
    assert (ticket.kind, ticket.state) == (TicketKind.APPROVAL, TicketState.OPEN)
    assert ticket.digest == system.call().digest
    assert (reason.kind, reason.ticket_id) == (WaitingKind.APPROVAL, ticket.ticket_id)
    assert system.tables.leases == {}
    assert system.tables.outbox == []


def test_an_approval_is_consumed_when_its_effect_starts() -> None:
    # given an approved call
    system = gated()
    decided = system.decide(VerdictKind.APPROVE)
    before = system.ticket().state

    # when the run continues
    system.advance(system.claim_one())

    # then the message is sent, and the ticket is consumed
    assert decided.outcome is DecisionOutcome.ACCEPTED
    assert (before, system.ticket().state) == (TicketState.DECIDED, TicketState.CONSUMED)
    assert isinstance(system.command(), SendCommand)
    assert len(system.tables.outbox) == 1
    assert [r.kind for r in system.run().waiting] == [WaitingKind.TOOL]


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
    system = gated()

    # when another verdict is given, and the run continues
    system.decide(kind, text)
    following = system.advance(system.claim_one())

    # then nothing is sent, and the call's result is the verdict
    assert following == Infer(2)
    assert (system.call().state, system.call().result) == (state, result)
    assert system.tables.outbox == []


def test_a_verdict_can_cancel_the_run(system: InMemoryRunControl) -> None:
    # given a run that waits for approval of two calls
    system.start(GUARDED_SEND, GUARDED_SEND)

    # when one verdict is to cancel the run
    system.decide(VerdictKind.CANCEL_RUN, "no more", ticket_id=system.ticket(0).ticket_id)
    following = system.advance(system.claim_one())

    # then it has ended, and the other ticket is void
    ended = system.termination()
    assert following == Ended()
    assert (ended.reason, ended.message) == (TerminationReason.CANCELLED, "no more")
    assert system.ticket(1).state is TicketState.VOID


def test_each_call_waits_for_its_own_decision(system: InMemoryRunControl) -> None:
    # given a run that waits for approval of two calls
    system.start(GUARDED_SEND, GUARDED_SEND)

    # when one is approved
    system.decide(VerdictKind.APPROVE, ticket_id=system.ticket(0).ticket_id)
    system.advance(system.claim_one())

    # then the other still waits
    states = [c.state for c in system.tables.calls.values()]
    assert states == [CallState.DISPATCHED, CallState.GATED]
    assert [r.kind for r in system.run().waiting] == [WaitingKind.TOOL, WaitingKind.APPROVAL]


def test_a_decision_is_applied_while_the_run_executes(system: InMemoryRunControl) -> None:
    # given a run that executes because one of its two tickets was decided
    system.start(GUARDED_SEND, GUARDED_SEND)
    system.decide(VerdictKind.DENY, ticket_id=system.ticket(0).ticket_id)
    claimed = system.claim_one()

    # when the other one is decided
    system.decide(VerdictKind.DENY, ticket_id=system.ticket(1).ticket_id)

    # then both are applied
    assert system.run().state is RunState.RUNNING
    assert system.advance(claimed) == Infer(2)


def test_the_first_decision_wins() -> None:
    # given a decided ticket
    system = gated()
    system.decide(VerdictKind.APPROVE, decision_id="a")

    # when it is repeated, contradicted by others, and repeated with other content
    repeat = system.decide(VerdictKind.APPROVE, decision_id="a")
    loser = system.decide(VerdictKind.DENY, decision_id="b")
    loser_again = system.decide(VerdictKind.DENY, decision_id="b")
    with pytest.raises(IdempotencyConflictError):
        system.decide(VerdictKind.DENY, decision_id="a")

    # then the first one stands, and each outcome says so
    assert repeat.outcome is DecisionOutcome.DUPLICATE
    assert loser.outcome is loser_again.outcome is DecisionOutcome.CONFLICT
    assert loser.ticket.winner is not None
    assert loser.ticket.winner.decision_id == "a"
    assert system.kinds().count("TicketDecided") == 1


def test_a_verdict_must_be_applicable_to_the_kind_of_ticket(system: InMemoryRunControl) -> None:
    # given an agent's question
    system.start(QUESTION)

    # when it is approved
    with pytest.raises(VerdictNotApplicableError) as refused:
        system.decide(VerdictKind.APPROVE)

    # then that is refused, and the ticket stays open
    assert refused.value.metadata == {
        "verdict": "approve",
        "kind": "question",
        "applicable": "answer, deny, cancel_call, cancel_run",
    }
    assert system.ticket().state is TicketState.OPEN


def test_a_question_that_needs_approval_has_two_tickets() -> None:
    # given an agent whose questions need approval
    system = InMemoryRunControl(agent(tools=(tool("ask_human", Builtin.ASK_HUMAN, Approval.ASK),)))
    system.start(QUESTION)

    # when asking is approved, and then answered
    system.decide(VerdictKind.APPROVE)
    parked = system.advance(system.claim_one())
    waiting = system.run().waiting
    system.decide(VerdictKind.ANSWER, "because")
    system.advance(system.claim_one())

    # then there are two tickets, both consumed
    assert parked == Parked()
    assert [r.kind for r in waiting] == [WaitingKind.USER_INPUT]
    tickets = system.tables.tickets.values()
    assert [x.kind for x in tickets] == [TicketKind.APPROVAL, TicketKind.QUESTION]
    assert [x.state for x in tickets] == [TicketState.CONSUMED] * 2
    assert system.call().result == "because"


@pytest.mark.parametrize("decision_id", ["a", "b"], ids=["same id", "new id"])
def test_a_stale_decision_that_is_corrected_wins(decision_id: str) -> None:
    # given a decision for another digest
    system = gated()
    stale = system.decide(VerdictKind.APPROVE, decision_id="a", expected_digest=b"other")

    # when one is submitted for the ticket's digest, under its id or a new one, and repeated
    digest = system.ticket().digest
    right, repeat = (
        system.decide(VerdictKind.APPROVE, decision_id=decision_id, expected_digest=digest)
        for _ in range(2)
    )

    # then the corrected one counts, and the repeat is a duplicate
    assert (stale.outcome, stale.why) == (DecisionOutcome.STALE, "digest_differs")
    assert right.outcome is DecisionOutcome.ACCEPTED
    assert repeat.outcome is DecisionOutcome.DUPLICATE
    assert system.tables.decisions["default", system.ticket().ticket_id, decision_id].won
    assert [d.won for d in system.tables.decisions.values()].count(True) == 1


@pytest.mark.parametrize("why", ["cancelled", "expired"])
def test_a_decision_of_a_void_or_expired_ticket_is_stale(why: str) -> None:
    # given a ticket that is void, or has expired
    system = gated()
    if why == "cancelled":
        system.cancel(run_id=system.run().run_id)
    else:
        (key,) = system.tables.tickets
        system.tables.tickets[key] = replace(system.ticket(), state=TicketState.EXPIRED)

    # when it is decided
    late = system.decide(VerdictKind.APPROVE)

    # then the decision is stale
    assert (late.outcome, late.why) == (DecisionOutcome.STALE, why)


CHANGED = '{"body": "other", "pool_id": "room"}'


def test_a_call_that_is_not_the_approved_one_any_more_is_asked_about_again() -> None:
    # given an approved call whose arguments differ from the approved ones
    system = gated()
    system.decide(VerdictKind.APPROVE)
    (key,) = system.tables.calls
    system.tables.calls[key] = replace(system.call(), arguments_json=CHANGED)

    # when the run continues
    following = system.advance(system.claim_one())

    # then nothing is sent, the ticket is void, and another one asks about the new arguments
    assert (following, system.tables.outbox) == (Parked(), [])
    void, again = system.ticket(0), system.ticket(1)
    assert (void.state, void.void_reason) == (TicketState.VOID, "args_changed")
    assert (again.state, again.arguments_json) == (TicketState.OPEN, CHANGED)
    assert again.digest == system.call().digest == argument_digest(ASK_TOOL, "v1", CHANGED)
    assert [r.ticket_id for r in system.run().waiting] == [again.ticket_id]

    # and its approval sends them
    system.decide(VerdictKind.APPROVE, ticket_id=again.ticket_id)
    system.advance(system.claim_one())
    sent = system.command()
    assert isinstance(sent, SendCommand)
    assert sent.body == "other"
    assert len(system.tables.outbox) == 1


@pytest.mark.parametrize("kind", [VerdictKind.APPROVE, VerdictKind.APPROVE_EDITED])
def test_an_approval_of_another_version_of_the_tool_is_void(kind: VerdictKind) -> None:
    # given an approved call whose pinned tool has another version
    system = gated()
    system.decide(kind, CHANGED)
    (pin,) = system.tables.specs
    specs = system.tables.specs[pin]
    newer = tuple(replace(each, version="v2") for each in specs.tools)
    system.tables.specs[pin] = replace(specs, tools=newer)

    # when the run continues
    following = system.advance(system.claim_one())

    # then the model's arguments are asked about again, under the new version
    assert (following, system.tables.outbox) == (Parked(), [])
    assert [x.state for x in system.tables.tickets.values()] == [TicketState.VOID, TicketState.OPEN]
    assert system.ticket().digest == argument_digest(ASK_TOOL, "v2", GUARDED_SEND[1])


@pytest.mark.parametrize("name", ["call_id", "model_call_id"])
@pytest.mark.parametrize("target", ["run_id", "thread_id"])
def test_a_ticket_is_found_by_its_call(name: str, target: str) -> None:
    # given a run that waits for approval
    system = gated()
    where = {target: getattr(system.run(), target)}

    # when the decision names the call, by the run's id or the model's
    decided = system.decide(VerdictKind.APPROVE, call_id=getattr(system.call(), name), **where)

    # then it decides that ticket
    assert decided.outcome is DecisionOutcome.ACCEPTED


def test_a_call_id_of_several_tickets_or_none_is_refused(system: InMemoryRunControl) -> None:
    # given two calls to which the model gave the same id
    system.start(GUARDED_SEND, GUARDED_SEND)
    for key, ticket in system.tables.tickets.items():
        system.tables.tickets[key] = replace(ticket, model_call_id="same")
    run_id = system.run().run_id

    # when that id, and an unknown one, are decided
    with pytest.raises(TicketAmbiguousError):
        system.decide(VerdictKind.APPROVE, call_id="same", run_id=run_id)
    with pytest.raises(TicketNotFoundError):
        system.decide(VerdictKind.APPROVE, call_id="other", run_id=run_id)

    # then both tickets are open
    assert {x.state for x in system.tables.tickets.values()} == {TicketState.OPEN}


@pytest.mark.parametrize("where", [{"run_id": "other"}, {"thread_id": "other"}])
def test_a_ticket_of_another_run_or_thread_is_not_found(where: dict[str, str]) -> None:
    # given a ticket
    system = gated()

    # when it is decided as one of another run or thread
    with pytest.raises(TicketNotFoundError):
        system.decide(VerdictKind.APPROVE, ticket_id=system.ticket().ticket_id, **where)
    # then it is not found, and neither is an unknown ticket
    with pytest.raises(TicketNotFoundError):
        system.decide(VerdictKind.APPROVE, ticket_id="none")


def test_tickets_can_be_read_and_listed() -> None:
    # given a ticket
    system = gated()
    ticket = system.ticket()

    # when it is read and listed, and an unknown one is read
    found, about = now(system.runs.ticket(LOCAL, ticket.ticket_id))
    listed = now(system.runs.list_tickets(LOCAL, TicketFilter()))
    with pytest.raises(TicketNotFoundError):
        now(system.runs.ticket(LOCAL, "none"))

    # then both return it, and the other is not found
    assert (found, listed.entries, listed.following) == (ticket, (ticket,), None)
    assert about is not None
    assert about.call == system.call()


MIXED_ARGUMENTS = '{"b": [1, 2.5, null], "a": "é 🚀"}'


@pytest.mark.parametrize(
    ("arguments_json", "digest"),
    [
        (MIXED_ARGUMENTS, "7caabe75bac979958d6dd02a8039e13895294978ae1e0f9fa6180e2e7fcee34f"),
        ("", "f6049936de4b1d90bf3c5180a7c7d214068b1140eb0dfca3623dcaf715a8cf0e"),
        ("{", "73d5ca07c5b3196f0761f3543d3880f74ca87f8b7291f3258103caa5598a8d2e"),
    ],
)
def test_what_an_approval_covers_never_changes(arguments_json: str, digest: str) -> None:
    """Approvals are kept with it: another form after an upgrade would void them."""
    assert argument_digest("search", "5112f4a8", arguments_json).hex() == digest


def test_equal_arguments_have_one_digest_however_they_are_written() -> None:
    # given the same object written in two ways, and another one
    one = argument_digest("t", "v", '{"a": 1, "b": 2}')
    two = argument_digest("t", "v", '{"b":2,"a":1}')
    other = argument_digest("t", "v", '{"a": 1, "b": 3}')

    # when their digests are compared, also with another tool version and with invalid JSON
    # then only equal objects are equal
    assert one == two
    different = {one, other, argument_digest("t", "w", '{"a": 1, "b": 2}')}
    assert len(different | {argument_digest("t", "v", "{")}) == 4
    assert argument_digest("t", "v", "") == argument_digest("t", "v", "{}")


def test_a_decision_that_waited_for_a_purge_finds_no_ticket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a decided ticket that is purged while another decision waits for its thread
    system = gated()
    system.decide(VerdictKind.APPROVE, "", "d-1")
    lock = MemoryTx.thread

    def purged(tx: MemoryTx, tenant: str, thread_id: str) -> Thread | None:
        tx.t.tickets.clear()
        tx.t.decisions.clear()
        return lock(tx, tenant, thread_id)

    monkeypatch.setattr(MemoryTx, "thread", purged)

    # when the other decision has the thread
    # then there is no ticket that it could be stored for
    with pytest.raises(TicketNotFoundError):
        system.decide(VerdictKind.DENY, "", "d-2")
