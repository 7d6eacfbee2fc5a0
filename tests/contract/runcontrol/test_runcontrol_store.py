"""The adapters of both engines return what the memory store returns, in any order of operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from services.runcontrol.core.claiming import LEASE_S
from services.runcontrol.core.events import TextDelta
from services.runcontrol.core.exchange import TicketState, VerdictKind
from services.runcontrol.core.execution import Execution
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.core.stepping import Ended, Infer
from services.runcontrol.store.tables import metadata
from tests.contract.runcontrol.compared_store import (
    ComparedStore,
    Database,
    PostgresSchema,
    SqliteInMemory,
)
from tests.support.callers import LOCAL
from tests.support.clock import ManualClock
from tests.support.ids import SequentialIds
from tests.support.profiles import amount, scaled
from tests.unit.runcontrol.in_memory_runcontrol import GUARDED_SEND, JOINED, InMemoryRunControl, now
from tests.unit.runcontrol.test_sharing import submit as submit_for
from tests.unit.runcontrol.test_worker_machine import WorkerMachine, served_agent


class ComparedStoresMachine(WorkerMachine):
    """Every operation of the machine, on the memory store and on a database."""

    database: Callable[[], Database]

    def __init__(self) -> None:
        super().__init__()
        self.cursor = 0
        self.followed: dict[str, TicketState] = {}

    def new_system(self) -> InMemoryRunControl:
        store = ComparedStore(lambda: self.system.clock, type(self).database())
        return InMemoryRunControl(served_agent(), store)

    @invariant()
    def reads_alike(self) -> None:
        for tenant, run_id in self.system.store.tables.runs:
            seen = now(self.system.store.read(lambda v, k=(tenant, run_id): v.view(*k)))
            assert seen.run.run_id == run_id
            for each in seen.calls:
                part = (tenant, run_id, each.call.call_id, 3, 2)
                read = now(self.system.store.read(lambda v, k=part: v.call_view(*k)))
                assert read.call.arguments_json == each.call.arguments_json[3:]

    @invariant()
    def a_follower_of_tickets_knows_every_ticket(self) -> None:
        feed = now(self.system.runs.ticket_changes(LOCAL, self.cursor, 2))
        while feed.changes:
            self.cursor = feed.changes[-1].seq
            self.followed |= {c.ticket.ticket_id: c.ticket.state for c in feed.changes}
            feed = now(self.system.runs.ticket_changes(LOCAL, self.cursor, 2))
        assert feed.head == self.cursor
        stored = self.system.tables.tickets
        # That an effect has started is not told.
        started = (TicketState.DECIDED, TicketState.CONSUMED)
        assert {
            ticket_id: state
            for (_, ticket_id), ticket in stored.items()
            if (state := self.followed.get(ticket_id)) is ticket.state
            or (state, ticket.state) == started
        } == self.followed
        assert len(self.followed) == len(stored)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database(request: pytest.FixtureRequest, engine: str) -> Iterator[Callable[[], Database]]:
    """A function that empties the same database, and returns it, at each call."""
    opened: Database = (
        SqliteInMemory()
        if engine == "sqlite"
        else PostgresSchema(request.getfixturevalue("emptied_schema")("runcontrol"))
    )

    def emptied() -> Database:
        opened.empty()
        return opened

    yield emptied
    opened.close()


@pytest.mark.slow
@scaled
def test_a_database_returns_what_the_memory_store_returns(
    database: Callable[[], Database], engine: str
) -> None:
    ComparedStoresMachine.database = staticmethod(database)
    most = amount(gate=12, chaos=1_000) if engine == "sqlite" else amount(gate=3, chaos=200)
    chosen = settings(stateful_step_count=50, max_examples=most)
    run_state_machine_as_test(ComparedStoresMachine, settings=chosen)


@pytest.fixture
def system(database: Callable[[], Database]) -> InMemoryRunControl:
    clock = ManualClock()
    return InMemoryRunControl(store=ComparedStore(lambda: clock, database()))


def rows(system: InMemoryRunControl, text: str) -> list[tuple[Any, ...]]:
    assert isinstance(system.store, ComparedStore)
    return system.store.query(text)


def test_a_run_reads_the_same_from_both_stores(system: InMemoryRunControl) -> None:
    # given a run that sends a message which needs approval
    system.start(GUARDED_SEND)

    # when it is approved, sent, answered, and ends
    system.decide(VerdictKind.APPROVE)
    system.advance(system.claim_one())
    system.settle(system.command(), JOINED)
    claimed = system.claim_one()
    going_on = system.advance(claimed)
    ended = system.answer(claimed)

    # then its view, events and conversation are complete
    view = now(system.runs.view(LOCAL, claimed.run.run_id))
    feed = now(system.runs.events(LOCAL, claimed.run.run_id, 0, 100))
    assert (going_on, ended) == (Infer(2), Ended())
    assert view.run == system.run()
    assert [seq for seq, _ in feed.events] == list(range(1, feed.head + 1))
    assert len(system.prompt()) == 4


def test_tenants_take_turns_in_both_stores(system: InMemoryRunControl) -> None:
    # given three tenants with work, and one whose work is due later
    for tenant, count in (("a", 9), ("b", 2), ("c", 1)):
        submit_for(system, tenant, count)
    submit_for(system, "d", 1)
    throttled = Failure(RetryClass.THROTTLED, "BUSY", "later", 3_600.0)
    (later,) = [c for c in now(system.execution.claim(4)) if c.run.tenant == "d"]
    now(system.execution.fail(later, throttled))

    # when runs are claimed, with and without a limit for each tenant
    ids = SequentialIds("x")
    limited = Execution(
        system.store, system.catalogs, system.clock, ids, "server-2", lambda: 1.0, 3
    )
    some = [claim.run.tenant for claim in now(limited.claim(8))]
    rest = [claim.run.tenant for claim in now(system.execution.claim(8))]

    # then both stores find the same, and "d" has nothing to claim
    assert some == ["a", "b", "a"]
    assert rest == ["a"] * 6


def test_a_lease_that_ends_now_is_owned_in_both_stores(system: InMemoryRunControl) -> None:
    # given a lease
    system.claim_new()

    # when it is looked for at its end, and a microsecond later
    system.clock.advance(LEASE_S)
    last = now(system.execution.reclaim_lapsed())
    system.clock.advance(0.000_001)
    lapsed = now(system.execution.reclaim_lapsed())

    # then it has lapsed only after its end
    assert (last, lapsed) == (0, 1)


def test_a_page_of_events_has_the_bytes_of_a_frame_in_both_stores(
    system: InMemoryRunControl,
) -> None:
    # given a run with events of 30,000, 30,000, 100,000 and 1 bytes
    claimed = system.claim_new()
    system.advance(claimed)
    first = system.run().event_seq
    for size in (30_000, 30_000, 100_000, 1):
        now(system.execution.record(claimed, (TextDelta("x" * size),)))

    # when its events are read page by page
    pages, after = [], first
    while (feed := now(system.runs.events(LOCAL, claimed.run.run_id, after, 64))).events:
        pages.append([seq - first for seq, _ in feed.events])
        after = feed.events[-1][0]

    # then a page has at most 64 KiB, or one event
    assert pages == [[1, 2], [3], [4]]
    assert feed.head == after


def test_an_index_refuses_a_second_claimed_dispatch_of_a_thread(system: InMemoryRunControl) -> None:
    # given a thread with a claimed dispatch
    system.submit(thread_id="t")
    system.submit(thread_id="t")
    system.claim()

    # when the other one is claimed by SQL
    with pytest.raises(Exception, match=r"(?i)unique constraint"):
        rows(system, "UPDATE dispatch SET state = 'claimed' WHERE state = 'queued'")

    # then there is still one claimed dispatch
    assert rows(system, "SELECT count(*) FROM dispatch WHERE state = 'claimed'") == [(1,)]


def test_an_index_refuses_a_second_winner_of_a_ticket(system: InMemoryRunControl) -> None:
    # given a decided ticket with a second decision
    system.start(GUARDED_SEND)
    system.decide(VerdictKind.APPROVE, decision_id="a")
    system.decide(VerdictKind.DENY, decision_id="b")

    # when the second decision is made a winner by SQL
    with pytest.raises(Exception, match=r"(?i)unique constraint"):
        rows(system, "UPDATE decision SET won = (1 = 1)")

    # then there is still one winner
    assert rows(system, "SELECT decision_id FROM decision WHERE won") == [("a",)]


def test_a_pin_that_cannot_be_read_ends_its_run_and_no_other(
    system: InMemoryRunControl, engine: str
) -> None:
    # given a run whose pin is not decodable, and a memory store without it
    broken = system.submit()
    other = rows(system, "SELECT body FROM pinned_spec")[0][0][:10].hex()
    literal = f"x'{other}'" if engine == "sqlite" else f"'\\x{other}'::bytea"
    rows(system, f"UPDATE pinned_spec SET body = {literal}")  # noqa: S608  # half of what was there
    system.tables.specs.clear()

    # when runs are claimed
    claimed = system.claim_one()
    following = system.advance(claimed)

    # then that run ends with its reason
    assert claimed.specs is None
    assert following == Ended()
    assert system.termination(broken.run_id).error_reason == "PIN_LOST"


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT 1 FROM thread WHERE ready_at IS NOT NULL AND ready_at <= 5", "thread_ready"),
        (
            """SELECT 1 FROM run WHERE state IN ('queued', 'waiting') AND paused_at IS NULL
            AND deadline_at <= 5""",
            "run_deadline",
        ),
        (
            "SELECT 1 FROM dispatch WHERE tenant = 'a' AND thread_id = 'b' AND state = 'queued'",
            "dispatch_queue",
        ),
        ("SELECT 1 FROM wake WHERE tenant = 'a' AND run_id = 'b' AND NOT taken", "wake_untaken"),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_frequent_queries_use_an_index(system: InMemoryRunControl, query: str, index: str) -> None:
    # given the tables
    # when a hot query is planned
    plan = rows(system, f"EXPLAIN QUERY PLAN {query}")

    # then it uses the index
    assert any(index in str(step[-1]) for step in plan), plan


def test_every_table_of_a_tenant_has_it_first_in_its_key() -> None:
    # given the tables of tenants
    shared = {"kept_snapshot", "kept_resource", "outbox"}

    # when their keys are read
    keys = {
        name: [column.name for column in table.primary_key.columns]
        for name, table in metadata.tables.items()
        if name not in shared
    }

    # then each key begins with the tenant
    assert len(keys) == 22
    assert {key[0] for key in keys.values()} == {"tenant"}
