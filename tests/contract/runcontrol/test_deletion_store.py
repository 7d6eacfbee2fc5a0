"""Deleting threads, in every state, on the memory store and on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.chassis.caller import Replay
from services.chassis.errors import DomainError
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.opening import open_store
from services.chassis.store.statement import statement
from services.content.model import FinishReason, Message, Role, Text, ToolCall, Usage
from services.runcontrol.core.commands import CancelWakeCommand, SendCommand
from services.runcontrol.core.deciding import DecideCommand
from services.runcontrol.core.deleting import Deleted, Deletion, bury
from services.runcontrol.core.errors import FencedError
from services.runcontrol.core.events import TextDelta
from services.runcontrol.core.exchange import Verdict, VerdictKind
from services.runcontrol.core.injecting import InjectCommand
from services.runcontrol.core.listing import NEWEST
from services.runcontrol.core.model import InputMode
from services.runcontrol.core.retention import Retention
from services.runcontrol.core.runcontrol import CancelCommand
from services.runcontrol.core.steering import ReviseCommand, Steering
from services.runcontrol.core.stepping import ModelAnswer
from services.runcontrol.core.submission import SubmitCommand
from services.runcontrol.store.tables import MIGRATIONS, metadata
from tests.contract.runcontrol.compared_store import (
    ComparedStore,
    Database,
    PostgresSchema,
    SqliteInMemory,
)
from tests.contract.runcontrol.test_two_servers import Server
from tests.support.callers import LOCAL, keyed
from tests.support.clock import ManualClock
from tests.support.engines import on_both_engines
from tests.support.ids import SequentialIds
from tests.support.runcontrol_invariants import check
from tests.unit.runcontrol.in_memory_runcontrol import FixedCatalogs, InMemoryRunControl, agent, now

WAIT = ("pool_wait", '{"pool_id": "room"}')
QUESTION = ("ask_human", '{"question": "why?"}')
# Of a thread that is deleted, and all that is left of it.
TOMBSTONE = {"thread", "deleted_run"}


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


def delete(system: InMemoryRunControl, thread_id: str = "t") -> Deleted:
    answer = now(Deletion(system.store, system.clock).delete(LOCAL, thread_id))
    assert isinstance(answer, Deleted)
    return answer


def left(system: InMemoryRunControl) -> set[str]:
    """The tables of the database that have rows."""
    store = system.store
    assert isinstance(store, ComparedStore)
    tables = metadata.tables.keys() - {"pinned_spec", "served_tool"}
    count = "SELECT count(*) FROM "
    return {name for name in tables if store.query(count + name) != [(0,)]}


def reason(act: Callable[[], object]) -> str:
    with pytest.raises(DomainError) as refusal:
        act()
    return refusal.value.reason


def ended(system: InMemoryRunControl) -> None:
    claimed = system.claim_new(thread_id="t")
    system.advance(claimed)
    system.answer(claimed)


def queued(system: InMemoryRunControl) -> None:
    for _ in range(45):  # more than end in one transaction
        system.submit(thread_id="t")


def running(system: InMemoryRunControl) -> None:
    system.advance(system.claim_new(thread_id="t"))
    system.inject(InputMode.LIVE_THEN_QUEUE, thread_id="t")
    system.submit(thread_id="t")


def asking(system: InMemoryRunControl) -> None:
    system.start(QUESTION, QUESTION, thread_id="t")
    system.decide(VerdictKind.ANSWER, "because")


def waiting(system: InMemoryRunControl) -> None:
    system.in_pool(WAIT, thread_id="t")
    system.submit(thread_id="t")


@pytest.mark.parametrize(
    ("state", "cancelled"), [(ended, 0), (queued, 45), (running, 2), (asking, 1), (waiting, 2)]
)
def test_a_deleted_thread_leaves_a_tombstone(
    system: InMemoryRunControl, state: Callable[[InMemoryRunControl], None], cancelled: int
) -> None:
    # given a thread in some state, and another one
    system.submit(thread_id="other")
    system.claim()
    state(system)
    before = system.tables.threads["default", "t"]
    run_ids = [run.run_id for run in system.tables.runs.values() if run.thread_id == "t"]

    # when it is deleted
    answer = delete(system)

    # then what was not done is named, and nothing but a tombstone and the ids of its runs is left
    assert (answer.count, len(answer.cancelled)) == (cancelled, cancelled)
    thread = system.tables.threads["default", "t"]
    assert (thread.epoch, thread.fence) == (before.epoch + 1, before.fence)
    assert (thread.deleted_at, thread.deleted_by) == (system.clock.now(), "local")
    assert [run.thread_id for run in system.tables.runs.values()] == ["other"]
    check(system.tables)

    # then every call says so
    for run_id in run_ids:
        assert reason(lambda of=run_id: now(system.runs.view(LOCAL, of))) == "RUN_DELETED"
        assert reason(lambda of=run_id: now(system.runs.events(LOCAL, of, 0, 1))) == "RUN_DELETED"
        assert reason(lambda of=run_id: system.cancel(run_id=of)) == "RUN_DELETED"
    assert reason(lambda: system.submit(thread_id="t")) == "THREAD_CLOSED"
    assert reason(lambda: system.interrupt("t", "go")) == "THREAD_CLOSED"
    assert reason(lambda: system.inject(thread_id="t")) == "THREAD_CLOSED"
    assert reason(lambda: system.cancel(thread_id="t")) == "THREAD_DELETED"
    assert reason(lambda: system.pending("t")) == "THREAD_DELETED"

    # when it is deleted again
    again = delete(system)

    # then nothing changes
    assert (again.count, again.cancelled) == (0, ())
    assert system.tables.threads["default", "t"] == thread


@pytest.mark.parametrize("state", [ended, queued, running, asking, waiting])
def test_a_deletion_that_is_broken_off_goes_on(
    system: InMemoryRunControl, state: Callable[[InMemoryRunControl], None]
) -> None:
    # given a deletion whose server stopped after it had committed the tombstone
    state(system)

    def tombstone(tx: Any) -> None:
        bury(tx, tx.thread("default", "t"), "ann", system.clock.now())

    now(system.store.write(tombstone))

    # then nothing can be claimed or found, and no deadline ends
    system.clock.advance(200_000.0)
    assert system.claim() == []
    assert now(system.execution.expire_due()) == 0
    assert reason(lambda: system.interrupt("t")) == "THREAD_CLOSED"
    for run_id in [run.run_id for run in system.tables.runs.values()]:
        assert reason(lambda of=run_id: now(system.runs.view(LOCAL, of))) == "RUN_DELETED"
        assert reason(lambda of=run_id: now(system.runs.events(LOCAL, of, 0, 1))) == "RUN_DELETED"
        assert reason(lambda of=run_id: system.cancel(run_id=of)) == "RUN_DELETED"
    assert now(system.store.read(lambda tx: tx.threads("default", NEWEST, 10))) == []

    # when a server goes on
    deletion = Deletion(system.store, system.clock)
    purged = [now(deletion.resume()), now(deletion.resume())]

    # then the rest is gone
    assert purged == [1, 0]
    # Beside it the count of changes of tickets, which is the tenant's.
    assert left(system) - {"outbox", "ticket_head"} == TOMBSTONE


def test_the_owner_of_a_run_is_fenced_when_its_thread_is_deleted(
    system: InMemoryRunControl,
) -> None:
    # given a run whose model is called
    claimed = system.claim_new(thread_id="t")
    system.advance(claimed)

    # when its thread is deleted
    delete(system)

    # then its owner has lost it
    with pytest.raises(FencedError):
        system.answer(claimed)
    assert now(system.execution.renew(frozenset({("default", "t", claimed.fence)}))) == []


def test_those_who_wait_for_a_deleted_run_are_told(system: InMemoryRunControl) -> None:
    # given a run that waits in a pool, and what it has sent there
    system.in_pool(("pool_send", '{"pool_id": "room", "body": "hi"}'), WAIT, thread_id="t")
    sent = [type(each.command) for each in system.tables.outbox]
    assert SendCommand in sent

    # when its thread is deleted
    delete(system)

    # then the pool is told that nobody waits, and what was said is not sent any more
    assert isinstance(system.command(), CancelWakeCommand)
    store = system.store
    assert isinstance(store, ComparedStore)
    rows = store.query("SELECT kind FROM outbox WHERE due_at IS NOT NULL")
    kinds = store.query("SELECT kind FROM outbox")
    assert rows == kinds == [("pool.cancel_wake",)]


DAY_S = 86_400.0


def test_threads_that_have_ended_are_deleted_when_they_are_too_old(
    system: InMemoryRunControl,
) -> None:
    # given an ended thread, and others that wait, run, and have work queued, at first; a second
    # ended one later
    ended(system)
    system.start(QUESTION, thread_id="waits")
    system.claim_new(thread_id="runs")
    system.submit(thread_id="queued")
    system.clock.advance(DAY_S)
    system.submit(thread_id="later")
    system.clock.advance(9 * DAY_S)
    retention = Retention(system.store, system.clock, 10, {})
    assert retention.limited

    # when threads are kept for ten days after their last use
    on_the_day = now(retention.bury_old())
    system.clock.advance(0.001)
    after = [now(retention.bury_old()), now(retention.bury_old())]

    # then the first is deleted after that, by nobody, and no other
    assert (on_the_day, after) == (0, [1, 0])
    buried = [x for x in system.tables.threads.values() if x.deleted_at]
    assert [(x.thread_id, x.deleted_by) for x in buried] == [("t", "")]
    assert now(Deletion(system.store, system.clock).resume()) == 1
    with pytest.raises(DomainError, match="by the retention of its tenant"):
        system.submit(thread_id="t")


@pytest.mark.parametrize(
    ("days", "days_of", "expected"),
    [
        (0, {}, 0), (10, {}, 1), (10, {"default": 0}, 0), (0, {"default": 10}, 1),
        (10, {"default": 50}, 0), (0, {"other": 10}, 0),
    ],
)  # fmt: skip
def test_a_tenant_has_its_own_retention(
    system: InMemoryRunControl, days: int, days_of: dict[str, int], expected: int
) -> None:
    ended(system)
    system.clock.advance(20 * DAY_S)

    retention = Retention(system.store, system.clock, days, days_of)

    assert now(retention.bury_old()) == expected
    assert retention.limited == bool(days or any(days_of.values()))


def test_a_thread_that_is_used_meanwhile_is_kept(system: InMemoryRunControl) -> None:
    # given an old thread that a server has found
    ended(system)
    system.clock.advance(20 * DAY_S)
    retention = Retention(system.store, system.clock, 10, {})

    # when it is used before it is buried
    async def used_first(key: Any) -> int:
        system.submit(thread_id="t")
        return await bury_one(key)

    bury_one, retention._bury = retention._bury, used_first  # type: ignore[method-assign]  # what happens in between

    # then it stays
    assert now(retention.bury_old()) == 0
    assert system.tables.threads["default", "t"].deleted_at is None


def test_an_unknown_thread_cannot_be_deleted(system: InMemoryRunControl) -> None:
    assert reason(lambda: delete(system)) == "THREAD_NOT_FOUND"


MARKER = "MARKER-of-what-was-said"
_ALL = {name: statement(table.select()) for name, table in metadata.tables.items()}


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(urls: dict[str, str], clock: ManualClock, tmp_path: Path) -> AsyncIterator[Server]:
    url = urls.get("runcontrol") or f"sqlite:///{tmp_path}/store.db"
    opened = open_store(
        url, metadata=metadata, migrations=MIGRATIONS, notifier=LocalNotifier(clock)
    )
    async with opened as database:
        yield Server(database, clock, "server")


async def conversation(server: Server, clock: ManualClock) -> None:
    """A thread with the marker wherever a text can be."""
    text = Message(Role.USER, (Text(MARKER * 500),))
    command = SubmitCommand((text,), "t", "helper", labels=(("name", MARKER),))
    await server.runs.submit(keyed(LOCAL, "submit"), command)
    (claimed,) = await server.execution.claim(1)
    await server.execution.advance(claimed, "")
    await server.execution.record(claimed, (TextDelta(MARKER),) * 10)
    calls = [
        ToolCall("m1", "pool_send", f'{{"pool_id": "room", "body": "{MARKER}"}}'),
        ToolCall("m2", "ask_human", f'{{"question": "{MARKER}"}}'),
    ]
    message = Message(Role.ASSISTANT, (Text(MARKER), *calls))
    answer = ModelAnswer(message, FinishReason.TOOL_CALLS, Usage(1, 1), (5, 5), "model", ("", ""))
    assert claimed.specs is not None
    await server.execution.commit_answer(claimed, claimed.specs, answer, "")
    run_id = claimed.run.run_id
    (ticket,) = (await server.runs.view(LOCAL, run_id)).open_tickets
    catalogs = FixedCatalogs({"helper": agent()})
    steering = Steering(server.store, catalogs, clock, SequentialIds("input"))
    inject = InjectCommand((text,), InputMode.LIVE_THEN_QUEUE, run_id=run_id)
    said = await steering.inject(keyed(LOCAL, "inject"), inject)
    assert not isinstance(said, Replay)
    await steering.edit(keyed(LOCAL, "edit"), ReviseCommand(said.input_id, 1, (text,)))
    verdict = Verdict(VerdictKind.ANSWER, MARKER)
    decide = DecideCommand("d", verdict, ticket.ticket_id, comment=MARKER)
    await server.decisions.decide(keyed(LOCAL, "decide"), decide)
    await server.runs.submit(LOCAL, SubmitCommand((text,), "t", "helper"))
    cancel = CancelCommand(run_id=run_id, reason=MARKER)
    await server.runs.cancel(keyed(LOCAL, "cancel"), cancel)


async def rows_with_marker(server: Server) -> set[str]:
    rows = {name: await server.database.fetch(select) for name, select in _ALL.items()}
    return {name for name, found in rows.items() if MARKER in repr(found)}


def files_with_marker(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if MARKER.encode() in path.read_bytes()}


@on_both_engines
async def test_nothing_that_was_said_is_left_of_a_deleted_thread(
    server: Server, clock: ManualClock, engine: str, tmp_path: Path
) -> None:
    # given a thread with a text wherever a text can be
    await conversation(server, clock)
    everywhere = "event message run tool_call ticket decision thread_input outbox request"
    assert await rows_with_marker(server) == set(everywhere.split())
    assert files_with_marker(tmp_path) or engine != "sqlite"

    # when it is deleted
    answer = await Deletion(server.store, clock).delete(keyed(LOCAL, "delete"), "t")

    # then no row has the text, and on SQLite no byte of the files
    assert isinstance(answer, Deleted)
    assert await rows_with_marker(server) == set()
    assert files_with_marker(tmp_path) == set()
