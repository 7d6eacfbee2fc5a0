"""Crashes of a worker, of run control and of both: what each means for a call of each effect class.

The table is the contract's promise, in full. The worker that comes back looks lost calls of
reconcilable tools up in its ledger.
"""

from __future__ import annotations

import random
from collections import Counter
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
from tests.support.profiles import amount, scaled
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


# What both sides say, in order; the draws take each in turn.
STEPS = (
    "hello",
    "welcome",
    "credit",
    "call",
    "accept",
    "go",
    "heartbeat",
    "lease",
    "result",
    "result_ack",
)
# Run control notices a cut or a dead worker at once, or by its silence.
WHATS = ("cut", "cut unnoticed", "worker", "worker unnoticed", "run control", "both")
DRAWS = amount(gate=40, chaos=1_000)
# At once, or late enough for heartbeats before it.
EFFECT_AFTER_S = (0.0, 7.0)

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


class Fault(NamedTuple):
    """What happens when a step is reached, while it is under way or once it has arrived."""

    step: str
    taken: bool
    what: str


def faults_of(draw: random.Random, step: str) -> list[Fault]:
    """One at this step, and in half of the draws another one at any step."""
    steps = [step, *([draw.choice(STEPS)] if draw.random() < 0.5 else [])]
    return [Fault(each, draw.random() < 0.5, draw.choice(WHATS)) for each in steps]


async def suffer(world: World, fault: Fault, felt: Counter[str]) -> None:
    """Let the fault happen at its step; a world that never gets there has none."""
    while world.next_step() != fault.step:
        if world.over or world.asks:
            return
        await world.step()
    if fault.taken:
        await world.step()
    felt[fault.step] += 1
    if fault.what.startswith("cut"):
        await world.lose_connection(noticed=fault.what == "cut")
    elif fault.what.startswith("worker"):
        await world.kill_worker(noticed=fault.what == "worker")
    else:
        await crash(world, fault.what)


async def until_settled(world: World) -> None:
    """Both sides come back, and go on until the run has ended or a person is asked."""
    while not (world.over or world.asks):
        await world.step()


async def until_over(world: World) -> None:
    """A person answers by the ledger whatever is asked."""
    while not world.over:
        if world.asks:
            world.decide_by_the_ledger()
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


@scaled
@pytest.mark.timeout(1_200)
async def test_random_cuts_and_kills_of_either_side_double_no_effect(
    new_store: Callable[[], ComparedStore],
) -> None:
    felt: Counter[str] = Counter()
    executions: Counter[int] = Counter()
    for number in range(DRAWS):
        # given a call, in turn of each class for which a second execution is a second effect
        draw = random.Random(number)
        effect = CLASSES[2 + number // len(STEPS) % 2]
        step = STEPS[number % len(STEPS)]
        after_s = draw.choice(EFFECT_AFTER_S[step in ("heartbeat", "lease") :])
        first = draw.random() < 0.5
        async with aclosing(World(effect, new_store(), after_s, effect_first=first)) as world:
            world.begin()

            # when connections are cut and processes killed at random
            for fault in faults_of(draw, step):
                await suffer(world, fault, felt)
            await until_over(world)

            # then the run ends, and the ledger has the effect of one execution at most
            check(world.system.tables)
            assert len(world.ledger) <= 1, f"draw {number}: {world.ledger}"
            assert len(world.ledger) == 1 or world.call.state is not CallState.SUCCEEDED
            executions[len(world.ledger)] += 1

    # and every step was hit often
    print(f"\n{DRAWS} draws, {dict(executions)} executions, faults at {dict(felt)}")
    assert all(felt[step] >= 0.08 * DRAWS for step in STEPS), felt
