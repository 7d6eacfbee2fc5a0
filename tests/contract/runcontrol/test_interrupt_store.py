"""An interrupt that fails at any of its statements changes nothing; its repeat does all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.chassis.caller import Replay
from services.chassis.store.port import Tx
from services.runcontrol.core.model import InputMode, RunState
from services.runcontrol.core.steering import InterruptCommand, Interrupted
from services.runcontrol.core.submission import BusyPolicy
from services.runcontrol.store.tables import metadata
from tests.contract.runcontrol.compared_store import (
    ComparedStore,
    Database,
    PostgresSchema,
    SqliteInMemory,
)
from tests.support.callers import LOCAL, keyed
from tests.support.clock import ManualClock
from tests.support.profiles import scaled
from tests.support.runcontrol_invariants import check
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, now, said

WAIT = ("pool_wait", '{"pool_id": "room"}')


class BrokenError(Exception):
    """The database was lost."""


class BreakingTx:
    """A transaction that breaks at one of its statements, counted from 1; 0 = at none."""

    def __init__(self, tx: Tx, database: BreakingDatabase) -> None:
        self.tx = tx
        self._database = database

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found = getattr(self.tx, name)

        def counted(*args: Any, **params: Any) -> Any:
            self._database.count()
            return found(*args, **params)

        return counted


class BreakingDatabase(Database):
    def __init__(self, database: Database) -> None:
        self._database = database
        self.break_at = 0
        self.statements = 0

    def count(self) -> None:
        self.statements += 1
        if self.statements == self.break_at:
            raise BrokenError

    def begin(self) -> Tx:
        return BreakingTx(self._database.begin(), self)  # type: ignore[return-value]  # counts, then passes on

    def commit(self, tx: BreakingTx) -> None:
        self._database.commit(tx.tx)

    def execute(self, text: str) -> list[tuple[Any, ...]]:
        return self._database.execute(text)

    def close(self) -> None:
        self._database.close()

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that there is."""
        return {
            name: sorted(self.execute(f"SELECT * FROM {name}"), key=repr)  # noqa: S608  # a name of ours
            for name in metadata.tables
        }


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[BreakingDatabase]:
    opened: Database = (
        SqliteInMemory()
        if request.param == "sqlite"
        else PostgresSchema(request.getfixturevalue("emptied_schema")("runcontrol"))
    )
    yield BreakingDatabase(opened)
    opened.close()


def waiting(system: InMemoryRunControl) -> None:
    """A run that waits in a pool, with two runs behind it."""
    system.in_pool(WAIT, thread_id="t")
    system.submit(thread_id="t")
    system.submit(thread_id="t")


def running(system: InMemoryRunControl) -> None:
    """A run whose model is called, with input that it has not read, and a run behind it."""
    system.advance(system.claim_new(thread_id="t"))
    system.inject(InputMode.LIVE_THEN_QUEUE, thread_id="t")
    system.submit(thread_id="t")


@scaled
@pytest.mark.slow
@pytest.mark.parametrize("state", [waiting, running])
def test_an_interrupt_that_breaks_at_any_statement_is_undone_and_can_be_repeated(
    database: BreakingDatabase, state: Callable[[InMemoryRunControl], None]
) -> None:
    command = InterruptCommand("t", (said("start over"),))
    broken = 0
    for nth in range(1, 200):
        # given a busy thread
        database.empty()
        clock = ManualClock()
        system = InMemoryRunControl(store=ComparedStore(lambda c=clock: c, database))
        state(system)
        before, rows = system.tables, database.rows()

        # when its interrupt breaks at a statement
        database.statements, database.break_at = 0, nth
        try:
            now(system.steering.interrupt(keyed(LOCAL, "i-1"), command))
        except BrokenError:
            broken += 1
        database.break_at = 0
        if broken < nth:
            break

        # then everything is as it was
        assert system.tables is before
        assert database.rows() == rows

        # and a repeat does all of it, once
        answer = now(system.steering.interrupt(keyed(LOCAL, "i-1"), command))
        rows = database.rows()
        again = now(system.steering.interrupt(keyed(LOCAL, "i-1"), command))
        assert isinstance(answer, Interrupted)
        assert isinstance(again, Replay)
        assert database.rows() == rows
        _switched(system, answer)
    assert broken > 20


def _switched(system: InMemoryRunControl, answer: Interrupted) -> None:
    """The thread has its new epoch; what it had is over, or is being cancelled; the rest waits."""
    check(system.tables)
    assert system.thread().epoch == 2
    *old, new = system.tables.runs.values()
    assert {run.state for run in old} <= {RunState.DONE, RunState.CANCELLING}
    assert answer.said is not None
    assert (new.run_id, new.state) == (answer.said.run_id, RunState.QUEUED)


def test_a_thread_with_many_queued_runs_is_interrupted(database: BreakingDatabase) -> None:
    # given a thread with thirty queued runs
    clock = ManualClock()
    system = InMemoryRunControl(store=ComparedStore(lambda: clock, database))
    ids = [system.submit(thread_id="t").dispatch_id for _ in range(30)]

    # when a run is submitted that interrupts it, and then the thread is interrupted
    submitted = system.submit(thread_id="t", busy_policy=BusyPolicy.INTERRUPT)
    answer = system.interrupt("t")

    # then both stores say so, and name what was queued
    assert answer.interruption.superseded == (submitted.dispatch_id,)
    assert system.thread().epoch == 3
    states = {d.dispatch_id: d.state.value for d in system.tables.dispatches.values()}
    assert {states[each] for each in ids} == {"superseded"}
    check(system.tables)
