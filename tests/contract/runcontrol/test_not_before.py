"""Runs that are submitted for later, and who executes a run, on the memory store and databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.chassis.errors import InvalidRequestError
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.opening import open_store
from services.content.model import Message, Role, Text
from services.runcontrol.api.responses import view_to_pb
from services.runcontrol.core.claiming import LEASE_S
from services.runcontrol.core.errors import ThreadBusyError
from services.runcontrol.core.model import Priority, TerminationReason
from services.runcontrol.core.submission import BusyPolicy, SubmitCommand
from services.runcontrol.store.tables import MIGRATIONS, metadata
from tests.contract.runcontrol.compared_store import (
    ComparedStore,
    Database,
    PostgresSchema,
    SqliteInMemory,
)
from tests.contract.runcontrol.test_two_servers import Server
from tests.support.callers import LOCAL
from tests.support.clock import ManualClock
from tests.support.engines import on_both_engines
from tests.support.runcontrol_invariants import check
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, agent, now

HOUR_S = 3_600.0
HOUR = timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def system(request: pytest.FixtureRequest) -> Iterator[InMemoryRunControl]:
    opened: Database = (
        SqliteInMemory()
        if request.param == "sqlite"
        else PostgresSchema(request.getfixturevalue("emptied_schema")("runcontrol"))
    )
    store = ComparedStore(lambda: made.clock, opened)
    made = InMemoryRunControl(agent(), store)
    yield made
    opened.close()


def claimed(system: InMemoryRunControl) -> list[str]:
    """Ids of the runs that are claimed now; they end at once."""
    found = []
    for each in system.claim():
        found.append(each.run.run_id)
        system.advance(each)
        system.answer(each)
    check(system.tables)
    return found


def test_a_run_starts_at_its_time_and_others_do_not_wait_for_it(
    system: InMemoryRunControl,
) -> None:
    # given runs of one thread for in an hour, of normal and then of high priority, and for in two
    at = system.clock.now() + HOUR
    later = system.submit(thread_id="t", not_before=at)
    urgent = system.submit(thread_id="t", not_before=at, priority=Priority.HIGH)
    last = system.submit(thread_id="t", not_before=at + HOUR)

    # when another one is submitted, and time passes
    first = system.submit(thread_id="t")
    at_once = claimed(system)
    system.clock.advance(HOUR_S - 0.001)
    before = claimed(system)
    system.clock.advance(0.001)
    due = [*claimed(system), *claimed(system), *claimed(system)]
    system.clock.advance(HOUR_S)
    in_two_hours = claimed(system)

    # then each runs when it may, those that are due by priority
    assert (at_once, before) == ([first.run_id], [])
    assert due == [urgent.run_id, later.run_id]
    assert in_two_hours == [last.run_id]
    assert [each.running for each in (later, urgent, last, first)] == [False, False, False, True]

    # then the deadline counts from the start
    run = system.run(later.run_id)
    assert (run.not_before, run.deadline_at) == (at, at + 24 * HOUR)
    view = now(system.runs.view(LOCAL, later.run_id))
    assert view_to_pb(view).run.not_before_time.ToDatetime(at.tzinfo) == at


def test_a_run_for_later_is_cancelled_and_interrupted_as_any_other(
    system: InMemoryRunControl,
) -> None:
    # given two runs for later
    at = system.clock.now() + HOUR
    first = system.submit(thread_id="t", not_before=at)
    second = system.submit(thread_id="t", not_before=at)

    # when one is cancelled, and the thread interrupted
    system.cancel(run_id=first.run_id)
    stopped = system.interrupt("t").interruption.superseded

    # then neither runs
    assert stopped == (second.dispatch_id,)
    assert system.termination(first.run_id).reason is TerminationReason.CANCELLED
    assert system.termination(second.run_id).reason is TerminationReason.SUPERSEDED
    system.clock.advance(HOUR_S)
    assert claimed(system) == []


def test_a_time_that_is_past_is_now_and_one_after_366_days_is_refused(
    system: InMemoryRunControl,
) -> None:
    past = system.submit(not_before=system.clock.now() - HOUR)
    system.submit(thread_id="last", not_before=system.clock.now() + timedelta(days=366))

    assert past.running
    assert claimed(system) == [past.run_id]
    with pytest.raises(InvalidRequestError) as refusal:
        system.submit(not_before=system.clock.now() + timedelta(days=366, microseconds=1))
    assert [each.field for each in refusal.value.violations] == ["not_before_time"]


def test_a_busy_thread_is_refused_with_what_keeps_it_busy(system: InMemoryRunControl) -> None:
    def refusal() -> dict[str, str]:
        with pytest.raises(ThreadBusyError) as refused:
            system.submit(thread_id="t", busy_policy=BusyPolicy.REJECT)
        return dict(refused.value.metadata)

    # given two runs that are queued, the second of which is before the first
    system.submit(thread_id="t")
    urgent = system.submit(thread_id="t", priority=Priority.HIGH)
    work = {"thread_id": "t", "run_id": urgent.run_id, "dispatch_id": urgent.dispatch_id}

    # then the first in the queue is named; then the one that executes
    assert refusal() == work
    claim = system.claim_one()
    assert refusal() == work

    # when it waits for an answer
    system.advance(claim)
    system.answer(claim, ("ask_human", '{"question": "why?"}'))

    # then it has no dispatch
    assert refusal() == {**work, "dispatch_id": ""}


def test_a_run_names_its_server_while_one_executes_it(system: InMemoryRunControl) -> None:
    # given a run that is queued, executes and is over
    run_id = system.submit(thread_id="t").run_id
    views = [now(system.runs.view(LOCAL, run_id))]
    claim = system.claim_one()
    views.append(now(system.runs.view(LOCAL, run_id)))
    system.advance(claim)
    system.answer(claim)
    views.append(now(system.runs.view(LOCAL, run_id)))

    # then it names the server, its fence and its lease in between
    queued, running, over = (view_to_pb(view).run for view in views)
    executor = running.executor
    assert (executor.instance_id, executor.fence) == ("server-1", 1)
    ends = executor.lease_until_time.ToDatetime(system.clock.now().tzinfo)
    assert ends == system.clock.now() + timedelta(seconds=LEASE_S)
    assert not queued.HasField("executor")
    assert not over.HasField("executor")


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def url(urls: dict[str, str], tmp_path: Path) -> str:
    return urls.get("runcontrol") or f"sqlite:///{tmp_path}/store.db"


@on_both_engines
async def test_a_run_for_later_is_there_after_a_restart(url: str, clock: ManualClock) -> None:
    # given a run for later, at a server that has stopped
    notifier = LocalNotifier(clock)
    opened = {"metadata": metadata, "migrations": MIGRATIONS, "notifier": notifier}
    said = Message(Role.USER, (Text("go"),))
    command = SubmitCommand((said,), "t", "helper", not_before=clock.now() + HOUR)
    async with open_store(url, **opened) as database:
        await Server(database, clock, "first").runs.submit(LOCAL, command)

    # when another server is there before and at its time
    async with open_store(url, **opened) as database:
        server = Server(database, clock, "second")
        early = await server.execution.claim(10)
        clock.advance(HOUR_S)
        due = await server.execution.claim(10)

    # then it runs then
    assert (len(early), len(due)) == (0, 1)
