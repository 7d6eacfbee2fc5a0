"""The database adapter says what the memory model says, whatever happens in whatever order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from services.chassis.caller import LOCAL_PRINCIPAL
from services.runcontrol.core.exchange import VerdictKind
from services.runcontrol.core.stepping import Ended, Infer
from services.runcontrol.store.tables import metadata
from tests.contract.runcontrol.mirror import Database, InMemory, MirrorStore, OnServer
from tests.support.clock import ManualClock
from tests.unit.runcontrol.test_machine import RunControlMachine
from tests.unit.runcontrol.world import ASK_TOOL, World, now

GUARDED = (ASK_TOOL, '{"body": "hi", "pool_id": "room"}')


class MirroredMachine(RunControlMachine):
    """Everything the machine does, on both stores."""

    database: Callable[[], Database]

    def new_world(self) -> World:
        return World(store=MirrorStore(lambda: self.world.clock, type(self).database()))

    @invariant()
    def reads_alike(self) -> None:
        for tenant, run_id in self.world.store.tables.runs:
            seen = now(self.world.store.read(lambda v, k=(tenant, run_id): v.view(*k)))
            assert seen.run.run_id == run_id

    def teardown(self) -> None:
        assert isinstance(self.world.store, MirrorStore)
        self.world.store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Callable[[], Database]:
    """As many empty databases as a test asks for, one after the other."""
    if request.param == "sqlite":
        return InMemory
    emptied: Callable[[str], str] = request.getfixturevalue("emptied_schema")
    return lambda: OnServer(emptied("runcontrol"))


def test_both_do_the_same_in_whatever_order_things_happen(
    database: Callable[[], Database],
) -> None:
    MirroredMachine.database = staticmethod(database)
    most = 30 if database is InMemory else 10
    chosen = settings(stateful_step_count=50, max_examples=most)
    run_state_machine_as_test(MirroredMachine, settings=chosen)


@pytest.fixture
def world(database: Callable[[], Database]) -> Iterator[World]:
    clock = ManualClock()
    store = MirrorStore(lambda: clock, database())
    yield World(store=store)
    store.close()


def rows(world: World, text: str) -> list[tuple[Any, ...]]:
    assert isinstance(world.store, MirrorStore)
    return world.store.query(text)


def test_a_whole_conversation_is_the_same_in_both(world: World) -> None:
    # given a run that sends a guarded message
    world.start(GUARDED)

    # when it is approved, sent, answered, and ends
    world.decide(VerdictKind.APPROVE)
    world.advance(world.claim_one())
    world.settle(world.command(), world.joined())
    claimed = world.claim_one()
    going_on = world.advance(claimed)
    ended = world.answer(claimed)

    # then both tell the same story to whoever reads it
    view = now(world.runs.view(LOCAL_PRINCIPAL, claimed.run.run_id))
    feed = now(world.runs.events(LOCAL_PRINCIPAL, claimed.run.run_id, 0, 100))
    assert (going_on, ended) == (Infer(2), Ended())
    assert view.run == world.run()
    assert [seq for seq, _ in feed.events] == list(range(1, feed.head + 1))
    assert len(world.prompt()) == 4


def test_the_database_itself_refuses_a_second_claim_of_a_thread(world: World) -> None:
    # given a thread with a claimed dispatch
    world.submit(thread_id="t")
    world.submit(thread_id="t")
    world.claim()

    # when the other one is claimed behind everybody's back
    with pytest.raises(Exception, match=r"(?i)unique constraint"):
        rows(world, "UPDATE dispatch SET state = 'claimed' WHERE state = 'queued'")

    # then it is not
    assert rows(world, "SELECT count(*) FROM dispatch WHERE state = 'claimed'") == [(1,)]


def test_the_database_itself_refuses_a_second_winner(world: World) -> None:
    # given a decided ticket with a loser
    world.start(GUARDED)
    world.decide(VerdictKind.APPROVE, decision_id="a")
    world.decide(VerdictKind.DENY, decision_id="b")

    # when the loser is made a winner behind everybody's back
    with pytest.raises(Exception, match=r"(?i)unique constraint"):
        rows(world, "UPDATE decision SET won = (1 = 1)")

    # then there is one
    assert rows(world, "SELECT decision_id FROM decision WHERE won") == [("a",)]


def test_a_pin_that_cannot_be_read_ends_its_run_and_no_other(
    world: World, database: Callable[[], Database]
) -> None:
    # given a run pinned to what another version wrote, and the model told that it is gone
    broken = world.submit()
    other = rows(world, "SELECT body FROM pinned_spec")[0][0][:10].hex()
    literal = f"x'{other}'" if database is InMemory else f"'\\x{other}'::bytea"
    rows(world, f"UPDATE pinned_spec SET body = {literal}")  # noqa: S608  # half of what was there
    world.forget_specs()

    # when runs are claimed
    claimed = world.claim_one()
    following = world.advance(claimed)

    # then that one ends, with its reason
    ended = world.run(broken.run_id).termination
    assert claimed.specs is None
    assert following == Ended()
    assert ended is not None
    assert ended.error_reason == "PIN_LOST"


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
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_is_asked_often_is_answered_by_an_index(world: World, query: str, index: str) -> None:
    # given the tables
    # when a hot query is planned
    plan = rows(world, f"EXPLAIN QUERY PLAN {query}")

    # then it reads what it needs, not what there is
    assert any(index in str(step[-1]) for step in plan), plan


def test_every_table_of_a_tenant_has_it_first_in_its_key() -> None:
    # given the tables that keep what tenants own
    shared = {"kept_snapshot", "kept_resource", "outbox"}

    # when their keys are looked at
    keys = {
        name: [column.name for column in table.primary_key.columns]
        for name, table in metadata.tables.items()
        if name not in shared
    }

    # then no row can be reached without naming its tenant
    assert len(keys) == 16
    assert {key[0] for key in keys.values()} == {"tenant"}
