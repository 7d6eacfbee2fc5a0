"""An error at each named moment of a run: nothing of it is left, and a repeat continues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from services.chassis import failpoints
from services.chassis.failpoints import FailpointError
from services.runcontrol.core.exchange import VerdictKind
from services.runcontrol.core.execution import Claim
from services.runcontrol.core.model import RunState
from tests.contract.runcontrol.compared_store import (
    ComparedStore,
    Database,
    PostgresSchema,
    SqliteInMemory,
)
from tests.support.clock import ManualClock
from tests.support.profiles import amount, scaled
from tests.support.runcontrol_invariants import check
from tests.unit.runcontrol.in_memory_runcontrol import (
    GUARDED_SEND,
    JOINED,
    InMemoryRunControl,
)

T = TypeVar("T")

MOMENTS = failpoints.names("runcontrol.")
WAIT = ("pool_wait", '{"pool_id": "room"}')


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
    clock = ManualClock()

    def make() -> ComparedStore:
        database.empty()
        return ComparedStore(lambda: clock, database)

    yield make
    database.close()


class Story:
    """A run that joins a pool, sends an approved message, waits for one, and ends."""

    def __init__(self, system: InMemoryRunControl) -> None:
        self.system = system

    def tell(self) -> None:
        system = self.system
        self._do(lambda: system.submit(pool="room"))
        self._continue(lambda: system.settle(system.command(), JOINED))
        claimed = self._claim()
        self._do(lambda: system.advance(claimed))
        self._do(lambda: system.answer(claimed, GUARDED_SEND))
        self._do(lambda: system.decide(VerdictKind.APPROVE))
        self._continue(lambda: system.settle(system.command(), JOINED))
        waits = self._claim()
        self._do(lambda: system.advance(waits))
        self._do(lambda: system.answer(waits, WAIT))
        call = system.call()
        self._do(lambda: system.wake(call.condition_id, call.run_id))
        last = self._claim()
        self._do(lambda: system.advance(last))
        self._do(lambda: system.answer(last))

    def _continue(self, settle: Callable[[], None]) -> None:
        """Claim the run, let it send its command and park, and settle the command."""
        claimed = self._claim()
        self._do(lambda: self.system.advance(claimed))
        self._do(settle)

    def _claim(self) -> Claim:
        """A failed claim is over for its row: the next round claims the run."""
        return (self.system.claim() or self.system.claim())[0]

    def _do(self, transaction: Callable[[], T]) -> T:
        before = self.system.tables
        try:
            return transaction()
        except FailpointError:
            assert self.system.tables is before
            return transaction()

    def told(self) -> tuple[list[str], list[str]]:
        """The events of the run, and its commands."""
        commands = [effect.command.kind for effect in self.system.tables.outbox]
        return self.system.kinds(), commands


def test_every_moment_of_a_run_has_a_name() -> None:
    assert MOMENTS == [
        "runcontrol.checkpoint",
        "runcontrol.claim",
        "runcontrol.decide",
        "runcontrol.go",
        "runcontrol.park",
        "runcontrol.result",
    ]


@scaled
def test_an_error_at_each_moment(new_store: Callable[[], ComparedStore], engine: str) -> None:
    # given what a run does undisturbed
    undisturbed = Story(InMemoryRunControl(store=new_store()))
    undisturbed.tell()
    expected = undisturbed.told()

    most = amount(gate=1 if engine == "postgresql" else 9, chaos=9)
    failed = dict.fromkeys(MOMENTS, 0)
    for name in MOMENTS:
        for nth in range(1, most + 1):
            # when the database fails at a moment, and the caller or the loop repeats its work
            story = Story(InMemoryRunControl(store=new_store()))
            with failpoints.armed(f"{name}=error@{nth}") as arming:
                story.tell()
            if arming[name].reached < nth:
                break

            # then the run did the same, and sent each command once
            failed[name] += 1
            check(story.system.tables)
            assert story.system.run().state is RunState.DONE
            assert story.told() == expected

    # and every moment was tried as often as the run comes by
    comes_by = {
        "runcontrol.checkpoint": 3,
        "runcontrol.claim": 5,
        "runcontrol.decide": 1,
        "runcontrol.go": 3,
        "runcontrol.park": 4,
        "runcontrol.result": 3,
    }
    assert failed == {name: min(times, most) for name, times in comes_by.items()}
