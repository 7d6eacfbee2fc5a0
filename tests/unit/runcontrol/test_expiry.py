"""Tickets that expire: nobody's answer is a no, once, and nothing that comes later counts."""

from __future__ import annotations

import pytest

from services.content.model import Approval, EffectClass
from services.runcontrol.core.events import (
    RunResumed,
    RunWoken,
    TicketExpired,
    ToolCallSettled,
)
from services.runcontrol.core.exchange import CallState, TicketKind, TicketState, VerdictKind
from services.runcontrol.core.gating import approval_timeout_s
from services.runcontrol.core.model import RunState
from services.runcontrol.core.specs import Builtin, Rule, ToolSpec
from services.runcontrol.core.stepping import Infer, Parked
from services.runcontrol.core.tickets import DecisionOutcome
from tests.support.memory_runcontrol import MemoryTx
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, agent, now, tool

SEND = ("send", '{"body": "hi", "pool_id": "room"}')
DENIED = "denied by policy: nobody decided within 60 s"


def asked_for(timeout_s: float, builtin: Builtin = Builtin.POOL_SEND) -> ToolSpec:
    fields = ("send", "", "{}", EffectClass.IDEMPOTENT, Approval.ASK, builtin)
    return ToolSpec(*fields, version="v1", approval_timeout_s=timeout_s)


def gated(*calls: tuple[str, str]) -> InMemoryRunControl:
    """A run that waits for approval, for 60 s."""
    system = InMemoryRunControl(agent(tools=(asked_for(60.0), tool("join", Builtin.POOL_JOIN))))
    system.start(*(calls or (SEND,)))
    return system


def expire(system: InMemoryRunControl) -> int:
    return now(system.execution.expire_tickets())


@pytest.mark.parametrize(
    ("of_tool_s", "rules", "expected_s"),
    [
        (0.0, (), 0.0),
        (60.0, (), 60.0),
        (0.0, (Rule("*", Approval.ASK, 30.0),), 30.0),
        (60.0, (Rule("*", Approval.ASK, 30.0),), 30.0),
        (20.0, (Rule("send", Approval.ALLOW, 30.0),), 20.0),
        (60.0, (Rule("other", Approval.ASK, 30.0),), 60.0),
        (60.0, (Rule("send", Approval.ASK), Rule("*", Approval.ASK, 30.0)), 60.0),
    ],
)
def test_the_shorter_time_of_tool_and_rule_holds(
    of_tool_s: float, rules: tuple[Rule, ...], expected_s: float
) -> None:
    specs = agent(*rules, tools=(asked_for(of_tool_s),))
    assert approval_timeout_s(specs.agent, specs.require("send")) == expected_s


def test_nobodys_answer_denies_the_call() -> None:
    # given a run that waits for approval, for 60 s
    system = gated()

    # when 59 s pass, and another one
    system.clock.advance(59.0)
    early = expire(system)
    system.clock.advance(1.0)
    late = expire(system)
    following = system.advance(system.claim_one())

    # then the call is denied once, and the run goes on because of the timer
    assert (early, late, expire(system)) == (0, 1, 0)
    assert system.ticket().state is TicketState.EXPIRED
    assert system.ticket().winner is None
    assert (system.call().state, system.call().result) == (CallState.FAILED, DENIED)
    assert following == Infer(2)
    assert system.tables.outbox == []
    assert system.last_event(TicketExpired).ticket_id == system.ticket().ticket_id
    assert system.last_event(ToolCallSettled).result == DENIED
    assert system.last_event(RunWoken).cause == "timer"
    assert system.last_event(RunResumed).causes == ("timer",)


@pytest.mark.parametrize("swept", [True, False], ids=["swept", "not swept yet"])
def test_a_decision_after_the_time_is_stale(swept: bool) -> None:
    # given a ticket whose time has run out, which somebody has noticed or nobody yet
    system = gated()
    system.clock.advance(60.0)
    if swept:
        expire(system)

    # when it is approved, twice
    first, second = (system.decide(VerdictKind.APPROVE) for _ in range(2))
    following = system.advance(system.claim_one())

    # then both decisions are stale, and nothing was sent
    for late in (first, second):
        assert (late.outcome, late.why) == (DecisionOutcome.STALE, "expired")
        assert late.ticket.state is TicketState.EXPIRED
    assert (following, system.tables.outbox) == (Infer(2), [])
    assert system.kinds().count("TicketExpired") == 1


def test_a_decision_in_time_counts_whenever_it_is_applied() -> None:
    # given a ticket that was approved at its last moment
    system = gated()
    system.clock.advance(59.999)
    system.decide(VerdictKind.APPROVE)

    # when the time runs out before the run goes on
    system.clock.advance(1.0)
    swept = expire(system)
    system.advance(system.claim_one())

    # then the message is sent
    assert swept == 0
    assert system.ticket().state is TicketState.CONSUMED
    assert len(system.tables.outbox) == 1


def test_a_run_that_executes_finds_the_call_denied() -> None:
    # given a run that executes because one of its tickets was decided
    system = gated(SEND, SEND)
    system.decide(VerdictKind.DENY, ticket_id=system.ticket(0).ticket_id)
    claimed = system.claim_one()

    # when the time of the other one runs out
    system.clock.advance(60.0)
    assert expire(system) == 1

    # then the run goes on with both
    assert system.run().state is RunState.RUNNING
    assert "RunWoken" not in system.kinds()[-1]
    assert system.advance(claimed) == Infer(2)


def test_a_run_waits_on_for_what_has_not_expired() -> None:
    # given a run that waits for approval and for an answer of the pool
    system = gated(("join", '{"pool_id": "room"}'), SEND)

    # when the time of the ticket runs out
    system.clock.advance(60.0)
    expire(system)
    following = system.advance(system.claim_one())

    # then it waits for the pool alone
    assert following == Parked()
    assert [reason.call_id for reason in system.run().waiting] == [system.call(0).call_id]


def test_tickets_of_ended_runs_and_questions_do_not_expire() -> None:
    # given a run that was cancelled, and an agent's question that was approved
    ended = gated()
    ended.cancel(run_id=ended.run().run_id)
    system = InMemoryRunControl(agent(tools=(asked_for(60.0, Builtin.ASK_HUMAN),)))
    system.start(("send", '{"question": "why?"}'))
    system.decide(VerdictKind.APPROVE)
    system.advance(system.claim_one())

    # when years pass
    ended.clock.advance(1e8)
    system.clock.advance(1e8)

    # then neither changes
    assert (expire(ended), expire(system)) == (0, 0)
    assert ended.ticket().state is TicketState.VOID
    question = system.ticket()
    assert (question.kind, question.state) == (TicketKind.QUESTION, TicketState.OPEN)


def test_a_ticket_that_ended_after_the_sweep_found_it_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a sweep that finds a ticket whose time has run out
    system = gated()
    system.clock.advance(60.0)
    found = now(system.store.write(lambda tx: tx.expired_tickets(system.clock.now(), 10)))
    assert len(found) == 1
    monkeypatch.setattr(MemoryTx, "expired_tickets", lambda *_: found)

    # when its run is cancelled before the sweep comes to it, or all is gone
    system.cancel(run_id=system.run().run_id)
    left = expire(system)
    system.tables.tickets.clear()

    # then nothing changes
    assert (left, expire(system)) == (0, 0)
    assert system.run().state is RunState.DONE


def test_a_ticket_in_a_locked_thread_is_left_to_the_next_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a ticket whose time has run out, whose thread somebody else has locked
    system = gated()
    system.clock.advance(60.0)
    with monkeypatch.context() as locked:
        locked.setattr(MemoryTx, "try_lock", lambda *_: False)
        skipped = expire(system)

    # then it expires when the thread is unlocked
    assert (skipped, expire(system)) == (0, 1)


def test_a_ticket_that_cannot_be_served_delays_no_other(caplog: pytest.LogCaptureFixture) -> None:
    # given two tickets whose time has run out, one of a run that is not there
    system = gated()
    system.submit(thread_id="other")
    system.execute(SEND)
    system.clock.advance(60.0)
    del system.tables.runs["default", system.ticket(0).run_id]

    # when tickets are swept
    # then the other one has expired
    assert expire(system) == 1
    assert system.ticket(1).state is TicketState.EXPIRED
