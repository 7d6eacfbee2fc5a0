"""Repeats of decisions get their first answers, on the memory store and on both databases."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from services.chassis.caller import Replay
from services.content.model import Approval, EffectClass
from services.runcontrol.core.deciding import DecideCommand
from services.runcontrol.core.exchange import LIVE_TICKETS, Ticket, Verdict, VerdictKind
from services.runcontrol.core.specs import ToolSpec
from services.runcontrol.core.tickets import Decided, DecisionOutcome
from tests.contract.runcontrol.compared_store import (
    ComparedStore,
    Database,
    PostgresSchema,
    SqliteInMemory,
)
from tests.support.callers import LOCAL, keyed
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, agent, now
from tests.unit.runcontrol.worker_desk import LOOKUP, WORKER, Desk

TOOL = ToolSpec("lookup", "", "{}", EffectClass.AT_MOST_ONCE, Approval.ALLOW, None, "v1")
GUARDED = replace(TOOL, tool_id="guarded", approval=Approval.ASK)
TEXTS = {VerdictKind.APPROVE_EDITED: '{"order": 4712}', VerdictKind.PASS_TO_TOOL: "{}"}
RECONCILING = (VerdictKind.HAPPENED, VerdictKind.DID_NOT_HAPPEN, VerdictKind.ABANDON)


@pytest.fixture(params=["sqlite", "postgresql"])
def system(request: pytest.FixtureRequest) -> Iterator[InMemoryRunControl]:
    opened: Database = (
        SqliteInMemory()
        if request.param == "sqlite"
        else PostgresSchema(request.getfixturevalue("emptied_schema")("runcontrol"))
    )
    store = ComparedStore(lambda: made.clock, opened)
    made = InMemoryRunControl(agent(tools=(TOOL, GUARDED)), store)
    now(made.workers.begin_session("default", WORKER, ["lookup", "guarded"], ()))
    yield made
    opened.close()


def ticket_for(system: InMemoryRunControl, kind: VerdictKind) -> Ticket:
    """An open ticket that the verdict decides."""
    if kind in RECONCILING:
        system.start(LOOKUP)
        at = Desk(system)
        at.accepted()
        at.pass_time(15.0)
    else:
        system.start(("guarded", LOOKUP[1]))
    return system.ticket()


@pytest.mark.parametrize("kind", VerdictKind)
@pytest.mark.parametrize("named_by", ["ticket", "call and run", "call and thread"])
def test_a_repeated_decision_gets_the_first_answer(
    system: InMemoryRunControl, kind: VerdictKind, named_by: str
) -> None:
    # given a decision whose run went on
    ticket = ticket_for(system, kind)
    names: dict[str, Any] = {
        "ticket": {"ticket_id": ticket.ticket_id},
        "call and run": {"call_id": ticket.call_id, "run_id": ticket.run_id},
        "call and thread": {"call_id": ticket.call_id, "thread_id": ticket.thread_id},
    }[named_by]
    command = DecideCommand("d", Verdict(kind, TEXTS.get(kind, "")), **names)
    first = now(system.decisions.decide(keyed(LOCAL, "r-1"), command))
    system.advance(system.claim_one())
    assert system.ticket(0).state not in LIVE_TICKETS
    decisions = system.tables.decisions

    # when the request is repeated
    repeat = now(system.decisions.decide(keyed(LOCAL, "r-1"), command))

    # then it gets the first answer, and decides nothing
    assert isinstance(first, Decided)
    assert first.outcome is DecisionOutcome.ACCEPTED
    assert repeat == Replay(pickle.dumps(first))
    assert system.tables.decisions == decisions
