"""What was said in a thread is not answered once its tombstone is committed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from services.chassis.errors import DomainError
from services.runcontrol.core.dead_letters import DeadLetters, DeadQuery
from services.runcontrol.core.deleting import bury
from services.runcontrol.core.exchange import TicketState, VerdictKind
from services.runcontrol.core.listing import CallQuery, MessageQuery, RunQuery
from services.runcontrol.core.ports import TicketFilter
from services.runcontrol.core.reading import Reading
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.store import statements as sql
from services.runcontrol.store.store import SqlTx
from tests.contract.runcontrol.compared_store import (
    ComparedStore,
    Database,
    PostgresSchema,
    SqliteInMemory,
)
from tests.support.callers import LOCAL
from tests.support.ids import SequentialIds
from tests.support.memory_runcontrol import MemoryTx
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, agent, now

QUESTION = ("ask_human", '{"question": "why?"}')
BROKEN = Failure(RetryClass.FATAL, "INFERENCE_REFUSED", "the model refused")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    opened: Database = (
        SqliteInMemory()
        if request.param == "sqlite"
        else PostgresSchema(request.getfixturevalue("emptied_schema")("runcontrol"))
    )
    yield opened
    opened.close()


@pytest.fixture
def system(database: Database) -> InMemoryRunControl:
    made: InMemoryRunControl
    made = InMemoryRunControl(agent(), ComparedStore(lambda: made.clock, database))
    return made


def lists(system: InMemoryRunControl, database: Database) -> dict[str, int]:
    """How much each list has."""
    reading = Reading(system.store)
    letters = DeadLetters(system.store, system.catalogs, system.clock, SequentialIds("again"))
    states = frozenset(TicketState)
    tickets = TicketFilter(states=states)
    of_thread = TicketFilter(thread_id="t", states=states)
    tx = database.begin()
    page = {"run_id": "", "thread_id": "", "after_at": tickets.after[0], "after_id": "", "limit": 9}
    rows = [tx.all(sql.TICKETS, tenant="default", state=state, **page) for state in states]
    system.store.query("ROLLBACK")  # type: ignore[attr-defined]  # of the compared store
    return {
        "runs": len(now(reading.runs(LOCAL, RunQuery())).entries),
        "runs of thread": len(now(reading.runs(LOCAL, RunQuery("t"))).entries),
        "dead letters": len(now(letters.dead(LOCAL, DeadQuery())).entries),
        "dead letters of thread": len(now(letters.dead(LOCAL, DeadQuery("t"))).entries),
        "tickets": len(now(system.runs.list_tickets(LOCAL, tickets)).entries),
        "tickets of thread": len(now(system.runs.list_tickets(LOCAL, of_thread)).entries),
        "stored tickets": sum(map(len, rows)),
        "changes": len(now(system.runs.ticket_changes(LOCAL, 0, 10)).changes),
    }


def refusals(system: InMemoryRunControl, run_id: str) -> dict[str, str]:
    """How each other call about the run, its call, its ticket or its thread is refused."""
    reading = Reading(system.store)
    letters = DeadLetters(system.store, system.catalogs, system.clock, SequentialIds("again"))
    call_id = next(c.call_id for c in system.tables.calls.values() if c.run_id == run_id)
    ticket_id = next(x.ticket_id for x in system.tables.tickets.values() if x.run_id == run_id)
    dead = next(d for d in system.tables.dispatches.values() if d.state.value == "dead")
    calls: dict[str, Any] = {
        "run": lambda: now(system.runs.view(LOCAL, run_id)),
        "events": lambda: now(system.runs.events(LOCAL, run_id, 0, 9)),
        "thread": lambda: now(reading.thread(LOCAL, "t")),
        "active": lambda: now(reading.active(LOCAL, "t")),
        "thread events": lambda: now(reading.events(LOCAL, "t", 0, 9)),
        "messages": lambda: now(reading.messages(LOCAL, MessageQuery("t"))),
        "inputs": lambda: system.pending("t"),
        "call": lambda: now(reading.call(LOCAL, CallQuery(run_id, call_id))),
        "ticket": lambda: now(system.runs.ticket(LOCAL, ticket_id)),
        "decision": lambda: system.decide(VerdictKind.ANSWER, "so", ticket_id=ticket_id),
        "of the call": lambda: system.decide(
            VerdictKind.ANSWER, "so", call_id=call_id, run_id=run_id
        ),
        "redrive": lambda: now(letters.redrive(LOCAL, dead.dispatch_id)),
    }
    found = {}
    for name, call in calls.items():
        with pytest.raises(DomainError) as refusal:
            call()
        found[name] = refusal.value.reason
    return found


def test_nothing_of_a_thread_is_answered_between_its_tombstone_and_the_purge(
    system: InMemoryRunControl, database: Database
) -> None:
    # given a thread with a dead letter and a run that waits for an answer
    claimed = system.claim_new(thread_id="t")
    system.advance(claimed)
    now(system.execution.fail(claimed, BROKEN))
    asking, _ = system.start(QUESTION, thread_id="t")
    before = lists(system, database)
    assert all(before.values()), before

    # when its tombstone is committed, and no row is purged yet
    def tombstone(tx: Any) -> None:
        bury(tx, tx.thread("default", "t"), "ann", system.clock.now())

    now(system.store.write(tombstone))
    assert len(system.tables.tickets) == 1

    # then no list has anything of it, and every other call is refused
    assert lists(system, database) == dict.fromkeys(before, 0)
    assert refusals(system, asking.run.run_id) == {
        "run": "RUN_DELETED",
        "events": "RUN_DELETED",
        "thread": "THREAD_DELETED",
        "active": "THREAD_DELETED",
        "thread events": "THREAD_DELETED",
        "messages": "THREAD_DELETED",
        "inputs": "THREAD_DELETED",
        "call": "RUN_DELETED",
        "ticket": "TICKET_NOT_FOUND",
        "decision": "TICKET_NOT_FOUND",
        "of the call": "TICKET_NOT_FOUND",
        "redrive": "RUN_DELETED",
    }


def test_a_ticket_whose_thread_is_deleted_before_it_is_locked_is_not_found(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run that waits for an answer
    system.start(QUESTION, thread_id="t")
    ticket = system.ticket()

    # when its ticket is gone once the thread is locked

    answers = {MemoryTx: iter((ticket, None)), SqlTx: iter((ticket, None))}
    for kind in answers:
        monkeypatch.setattr(kind, "ticket", lambda self, *_: next(answers[type(self)]))

    # then its decision is refused
    with pytest.raises(DomainError) as refusal:
        system.decide(VerdictKind.ANSWER, "so", ticket_id=ticket.ticket_id)
    assert refusal.value.reason == "TICKET_NOT_FOUND"
