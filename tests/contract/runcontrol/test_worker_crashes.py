"""Crashes of a worker, of run control and of both: what each means for a call of each effect class.

The table is the contract's promise, in full. The worker that comes back looks lost calls of
reconcilable tools up in its ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import NamedTuple

import pytest

from services.content.model import EffectClass
from services.runcontrol.core.exchange import CallState
from tests.contract.runcontrol.compared_store import (
    ComparedStore,
    Database,
    PostgresSchema,
    SqliteInMemory,
)
from tests.contract.runcontrol.worker_world import World
from tests.support.clock import ManualClock
from tests.support.runcontrol_invariants import check

pytestmark = pytest.mark.slow

# How the call ends, and how often it was executed. A second execution has the key of the first.
ONE = "one execution, and its result"
TWO = "two executions, and the result of the second"
ASKS_0 = "a person is asked, nothing has happened"
ASKS_1 = "a person is asked, it has happened"

# Crash of, before, and then what becomes of a call that is:
#    pure, idempotent, reconcilable, at most once
TABLE = [
    ("worker", "Accept", ONE, ONE, ONE, ONE),
    ("worker", "Go", ONE, ONE, ONE, ASKS_0),
    ("worker", "effect", ONE, ONE, ONE, ASKS_0),
    ("worker", "Result", TWO, TWO, ONE, ASKS_1),
    ("worker", "Ack", ONE, ONE, ONE, ONE),
    ("run control", "Accept", ONE, ONE, ONE, ONE),
    ("run control", "Go", ONE, ONE, ONE, ONE),
    ("run control", "effect", ONE, ONE, ONE, ONE),
    ("run control", "Result", ONE, ONE, ONE, ONE),
    ("run control", "Ack", ONE, ONE, ONE, ONE),
    ("both", "Accept", ONE, ONE, ONE, ONE),
    ("both", "Go", ONE, ONE, ONE, ASKS_0),
    ("both", "effect", ONE, ONE, ONE, ASKS_0),
    ("both", "Result", TWO, TWO, ONE, ASKS_1),
    ("both", "Ack", ONE, ONE, ONE, ONE),
]
CLASSES = (
    EffectClass.PURE,
    EffectClass.IDEMPOTENT,
    EffectClass.RECONCILABLE,
    EffectClass.AT_MOST_ONCE,
)


class Row(NamedTuple):
    victim: str
    before: str
    effect: EffectClass
    outcome: str


ROWS = [
    Row(victim, before, effect, outcome)
    for victim, before, *outcomes in TABLE
    for effect, outcome in zip(CLASSES, outcomes, strict=True)
]


class Moment(NamedTuple):
    """A step of the exchange; ``taken`` = once it has arrived, else while it is under way."""

    step: str
    taken: bool


# Go is not sent for calls that may run twice: before Go is after Accept, for all.
MOMENTS = {
    "Accept": Moment("accept", taken=False),
    "Go": Moment("accept", taken=True),
    "effect": Moment("effect", taken=False),
    "Result": Moment("result", taken=False),
    "Ack": Moment("result", taken=True),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_store(request: pytest.FixtureRequest, engine: str) -> Iterator[Callable[[], ComparedStore]]:
    """Returns a store on one database, which it empties, at each call."""
    database: Database = (
        SqliteInMemory()
        if engine == "sqlite"
        else PostgresSchema(request.getfixturevalue("emptied_schema")("runcontrol"))
    )

    def make() -> ComparedStore:
        database.empty()
        return ComparedStore(ManualClock, database)

    yield make
    database.close()


async def until_moment(world: World, moment: Moment) -> None:
    while world.next_step() != moment.step:
        await world.step()
    if moment.taken:
        await world.step()


async def crash(world: World, victim: str) -> None:
    if victim != "worker":
        await world.kill_server()
    if victim != "run control":
        await world.kill_worker()


async def until_settled(world: World) -> None:
    """Both sides come back, and go on until the run has ended or a person is asked."""
    while not (world.over or world.asks):
        await world.step()


def outcome_of(world: World) -> str:
    if world.asks:
        assert world.call.state is CallState.UNKNOWN
        return {0: ASKS_0, 1: ASKS_1}[len(world.ledger)]
    assert world.call.state is CallState.SUCCEEDED
    assert world.call.result == f"effect {len(world.ledger)}"
    return {1: ONE, 2: TWO}[len(world.ledger)]


async def test_what_a_crash_means(new_store: Callable[[], ComparedStore]) -> None:
    assert len(ROWS) == 60
    found = []
    for row in ROWS:
        async with aclosing(World(row.effect, new_store())) as world:
            # given a call that has come to a moment of the exchange
            world.begin()
            await until_moment(world, MOMENTS[row.before])

            # when one side dies, or both, and they are started again
            await crash(world, row.victim)
            await until_settled(world)

            # then the call comes to what the table says, under one key
            check(world.system.tables)
            found.append(row._replace(outcome=outcome_of(world)))
            assert {key for key, _ in world.ledger} <= {world.call.call_id}
    assert found == ROWS
