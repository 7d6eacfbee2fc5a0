"""The SQL store: it answers and stores as the memory model does, and notifies of timers."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from services.chassis.errors import DomainError
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.opening import open_store
from services.chassis.store.port import Store
from services.chassis.store.statement import statement
from services.pool.core.events import Event, EventFilter, EventKind, Start, Wake
from services.pool.core.filters import Dimension
from services.pool.core.model import (
    Cardinality,
    Correlation,
    InlineBody,
    PoolConfig,
    ResponseContract,
)
from services.pool.core.ports import MemberQuery
from services.pool.main import SERVICE
from services.pool.store import statements as sql
from services.pool.store.store import SqlStore
from services.pool.store.tables import MIGRATIONS, log, metadata, outbox
from services.pool.store.tx import TIMERS, SqlTx
from tests.support.callers import keyed
from tests.support.clock import ManualClock
from tests.support.memory_pool import MemoryTx
from tests.support.migrated import new_sqlite
from tests.support.pool_service import (
    POOL,
    PoolService,
    agent,
    condition,
    draft,
    everyone,
    policy,
    run,
    seconds,
    topic,
)
from tests.support.profiles import amount, scaled

RUNS = ["run-a", "run-b", "run-c"]
# In a pipeline of PostgreSQL are at most 500 statements.
MEMBERS = amount(gate=510, chaos=1_000)
Command: TypeAlias = Callable[[PoolService], Awaitable[object]]

TO_B = EventFilter(kinds=("message.delivered",), recipient_run_ids=("run-b",))

_OUTBOX = statement(select(outbox.c.id, outbox.c.payload).order_by(outbox.c.lane, outbox.c.seq))
_LOG = statement(select(log.c.sequence, log.c.kind, log.c.actor).order_by(log.c.sequence))


def encode_wake(pool_id: str, wake: Wake, message_ids: Sequence[str]) -> bytes:
    return repr((pool_id, wake, tuple(message_ids))).encode()


@asynccontextmanager
async def sql_service(
    url: str, notifier: LocalNotifier | None = None
) -> AsyncIterator[tuple[PoolService, Store]]:
    clock = ManualClock()
    notifies = notifier or LocalNotifier(clock)
    opened = open_store(url, metadata=metadata, migrations=MIGRATIONS, notifier=notifies)
    async with opened as store:
        yield PoolService(SqlStore(store, clock, encode_wake), clock), store


def _joins(drawn: st.DrawFn) -> Command:
    run_id = drawn(st.sampled_from(RUNS))
    topics = drawn(st.sampled_from([(), ("t",), ("t", "u")]))
    policies = drawn(st.sampled_from([(), (policy("p"),)]))
    return lambda service: service.join(run_id, f"x{run_id == 'run-c'}", *topics, policies=policies)


def _sends(drawn: st.DrawFn) -> Command:
    one_agent = agent("xFalse", Cardinality.EXACTLY_ONE)
    to = drawn(st.sampled_from([run("run-b"), topic("t"), everyone(), one_agent]))
    key = drawn(st.sampled_from([f"k{n}" for n in range(8)]))
    contract = drawn(st.sampled_from([None, ResponseContract(1, seconds(5)), ResponseContract(2)]))
    expires_s = drawn(st.sampled_from([None, 4]))
    labels = drawn(st.sampled_from([(), (Correlation("job", "7"), Correlation("part", "1"))]))
    body = InlineBody(key.encode(), "text/plain")

    def send(service: PoolService) -> Awaitable[object]:
        expires = None if expires_s is None else service.clock.now() + seconds(expires_s)
        return service.send(
            draft(to, key, content=body, contract=contract, expire_time=expires, correlation=labels)
        )

    return send


def _responds(drawn: st.DrawFn) -> Command:
    run_id, number = drawn(st.sampled_from(RUNS)), drawn(st.integers(0, 7))
    return lambda service: service.respond(run_id, f"m-k{number}", f"a-{run_id}-{number}")


def _fetches(drawn: st.DrawFn) -> Command:
    run_id, limit = drawn(st.sampled_from(RUNS)), drawn(st.integers(1, 3))
    named = drawn(st.sampled_from([(), ("m-k1", "m-k2")]))
    return lambda service: service.fetch(run_id, *named, limit=limit, lease_s=3)


def _reads(drawn: st.DrawFn) -> Command:
    run_id = drawn(st.sampled_from(RUNS))

    async def read(service: PoolService) -> object:
        fetched = await service.fetch(run_id, lease_s=3)
        return [
            await service.ack(run_id, each.delivery.message_id, each.delivery.lease_token)
            for each in fetched.deliveries
        ]

    return read


def _suspends(drawn: st.DrawFn) -> Command:
    run_id, number = drawn(st.sampled_from(RUNS)), drawn(st.integers(0, 8))
    filters = drawn(st.lists(st.sampled_from(FILTERS), min_size=1, max_size=3))
    after = drawn(st.sampled_from([1, 3]))
    timeout = drawn(st.sampled_from([None, seconds(0), seconds(4)]))
    start = drawn(st.sampled_from([Start.EARLIEST, Start.NOW, 3]))
    waited = condition(
        run_id, f"w{number}", *filters, after_matches=after, timeout=timeout, match_from=start
    )
    return lambda service: service.suspend(waited)


def _cancels(drawn: st.DrawFn) -> Command:
    number = drawn(st.integers(0, 8))
    return lambda service: service.wakes.cancel(service.caller, POOL, f"c-w{number}")


def _waits(drawn: st.DrawFn) -> Command:
    delta_s = drawn(st.sampled_from([1, 3, 6]))

    async def wait(service: PoolService) -> object:
        service.clock.advance(delta_s)
        return await service.fire_due()

    return wait


FILTERS = [
    EventFilter(),
    EventFilter(recipient_run_ids=("run-b", "run-c"), kinds=("message.delivered",)),
    EventFilter(message_ids=("m-k1", "m-k2"), terminal_only=True),
    EventFilter(reply_to=("m-k1",)),
    EventFilter(sender_run_ids=("run-a",)),
    EventFilter(topics=("t",)),
    EventFilter(correlation=(Correlation("job", "7"),)),
    EventFilter(correlation_keys=("part",)),
    EventFilter(sender_agent_ids=("xTrue",)),
    EventFilter(kinds=("member.*",)),
]
OFTEN = [_sends, _sends, _suspends]
KINDS = [*OFTEN, _joins, _sends, _responds, _fetches, _reads, _suspends, _cancels, _waits]


@st.composite
def commands(drawn: st.DrawFn) -> list[Command]:
    joined: list[Command] = [_join_all]
    kinds = drawn(st.lists(st.sampled_from(KINDS), min_size=5, max_size=30))
    return joined + [kind(drawn) for kind in kinds]


async def _join_all(service: PoolService) -> object:
    await service.open(PoolConfig(policy_refs=()))
    return [await service.join(run_id, f"x{run_id == 'run-c'}", "t") for run_id in RUNS]


async def answer(command: Command, service: PoolService) -> object:
    try:
        return await command(service)
    except DomainError as error:
        return error.reason, error.metadata


Databases = Callable[[], AbstractContextManager[str]]


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest) -> Databases:
    """As many empty databases as a test asks for."""
    if request.param == "sqlite":
        return _in_a_folder
    emptied: Callable[[str], str] = request.getfixturevalue("emptied_schema")
    return lambda: nullcontext(emptied("pool"))


@contextmanager
def _in_a_folder() -> Iterator[str]:
    with TemporaryDirectory() as folder:
        yield new_sqlite(SERVICE.schema, Path(folder, "pool.db"))


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    with databases() as empty:
        yield empty


# Each example takes an empty database, so a failure is shown as it was found.
_FOUND = settings(deadline=None, phases=[Phase.reuse, Phase.generate])


@pytest.mark.slow
@settings(_FOUND, max_examples=amount(gate=20, chaos=1_000))
@given(commands())
async def test_the_store_answers_as_the_model_does(todo: list[Command]) -> None:
    with _in_a_folder() as url:
        await _both_do(todo, url)


@pytest.mark.slow
@settings(
    _FOUND,
    max_examples=amount(gate=5, chaos=300),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(commands())
async def test_the_store_answers_as_the_model_does_on_postgresql(
    emptied_schema: Callable[[str], str], todo: list[Command]
) -> None:
    await _both_do(todo, emptied_schema("pool"))


async def _both_do(todo: list[Command], url: str) -> None:
    async with sql_service(url) as (real, store):
        # given an empty store and an empty model
        model = PoolService()

        # when both get the same commands
        for command in todo:
            assert await answer(command, real) == await answer(command, model)

        # then they hold the same
        await _same(real, store, model)


async def _same(real: PoolService, store: Store, model: PoolService) -> None:
    held = await store.write(lambda tx: _contents(real.store.within(tx, "default"), model))  # type: ignore[attr-defined]
    for ours, expected in zip(held, _contents(model.store.of(), model), strict=True):  # type: ignore[attr-defined]
        assert ours == expected
    assert await real.store.due_timers(100) == await model.store.due_timers(100)
    rows = await store.fetch(_OUTBOX)
    expected = [
        (wake.condition.condition_id, encode_wake(pool_id, wake, ids))
        for pool_id, wake, ids in model.memory.outbox
    ]
    assert [(row.id, row.payload) for row in rows] == expected
    recorded = [(row.sequence, row.kind, row.actor) for row in await store.fetch(_LOG)]
    assert recorded == [(e.sequence, e.kind, actor) for _, e, _, actor in model.memory.log]


def _contents(tx: SqlTx | MemoryTx, model: PoolService) -> list[Any]:
    """Everything that can be read, by the keys that the model knows."""
    tables = model.memory
    return [
        tx.pool(POOL),
        tx.members(POOL, MemberQuery(10)),
        [tx.message(POOL, message_id) for _, message_id in tables.messages],
        [tx.body(POOL, message_id) for _, message_id in tables.messages],
        [list(tx.deliveries_of(POOL, message_id)) for _, message_id in tables.messages],
        [list(tx.replies(POOL, message_id)) for _, message_id in tables.messages],
        [tx.wake(POOL, condition_id) for _, condition_id in tables.wakes],
        list(tx.events_after(POOL, 0, 1000, None)),
        list(tx.events_after(POOL, 3, 2, None)),
        list(tx.events_after(POOL, 0, 1000, (Dimension.RECIPIENT, "run-b"))),
        list(tx.events_after(POOL, 0, 1000, (Dimension.MESSAGE, "m-k1"))),
        list(tx.events_after(POOL, 2, 1000, (Dimension.REPLY_TO, "m-k1"))),
    ]


async def test_a_closure_that_raises_leaves_nothing(url: str) -> None:
    async with sql_service(url) as (service, store):
        # given a pool
        await _join_all(service)
        before = await store.fetch(_LOG)

        # when a command fails after it has written
        def fails(journal: Any) -> None:
            journal.record(Event(kind=EventKind.POOL_CREATED), journal.pool)
            raise LateError("late")

        with pytest.raises(LateError):
            await service.commands.execute(service.caller, POOL, fails)

        # then the log and the head are as they were
        assert await store.fetch(_LOG) == before
        assert (await service.pools.get(service.caller, POOL)).head_sequence == len(before)


async def test_stored_answers_survive_a_restart(url: str) -> None:
    # given a request answered by one server
    async with sql_service(url) as (service, _):
        caller = keyed(service.caller, "r-1")
        first = await service.pools.open(caller, POOL, PoolConfig())

    # when the next server on the database gets the same request
    async with sql_service(url) as (service, _):
        again = await service.pools.open(keyed(service.caller, "r-1"), POOL, PoolConfig())

    # then the answer is the stored one
    assert again.body == pickle.dumps(first)  # type: ignore[union-attr]


@pytest.mark.slow
@scaled
async def test_a_broadcast_reaches_very_many_members_and_their_waits(url: str) -> None:
    async with sql_service(url) as (service, _):
        # given members whose deliveries need more than one pipeline, and of whom two wait
        await service.open()
        for number in range(MEMBERS):
            await service.join(f"run-{number:04}")
        waiting = (7, MEMBERS - 1)
        for number in waiting:
            run_id = f"run-{number:04}"
            mine = replace(TO_B, recipient_run_ids=(run_id,))
            await service.suspend(condition(run_id, f"w{number}", mine))

        # when one of them broadcasts
        sent = await service.send(draft(everyone(), "k1", "run-0000"))

        # then all others are recipients, and both waits have ended
        assert len(sent.record.receipt.delivered_to) == MEMBERS - 1
        ends = [(await service.wake(f"c-w{number}")).state.value for number in waiting]
        assert ends == ["triggered"] * 2
        assert (await service.pools.get(service.caller, POOL)).open_wakes == 0


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (sql.WAKES_UNDER, "SEARCH wake_index USING PRIMARY KEY"),
        (sql.DELIVERIES_DUE, "delivery_inbox"),
        (sql.EVENTS_OF_MESSAGE, "log_message_id"),
        (sql.EVENTS_ANSWERING, "log_reply_to"),
        (sql.EVENTS_TO_RECIPIENT, "AND sequence>?)"),
        (sql.MESSAGE_BY_KEY, "(tenant=? AND pool_id=? AND idempotency_key=?)"),
        (sql.NEXT_TIMERS, "timer_due"),
    ],
)
async def test_frequent_statements_use_an_index(tmp_path: Path, asked: Any, index: str) -> None:
    """Their cost must depend on what is found, not on what is stored."""
    async with sql_service(f"sqlite:///{tmp_path}/pool.db") as (_, _store):
        # given the schema
        with sqlite3.connect(tmp_path / "pool.db") as connection:
            text = asked.sqlite.text

            # when a frequent statement is planned
            plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", [1] * text.count("?"))
            steps = [row[3] for row in plan]
        connection.close()

    # then it searches by its index
    assert any(index in step for step in steps), steps
    assert not any(step.startswith("SCAN") and "timer_due" not in step for step in steps), steps


async def test_a_new_timer_notifies_and_wakes_leave_in_the_order_of_their_registration(
    tmp_path: Path,
) -> None:
    # given a pool, and a signal on the channel of timers
    notifier = LocalNotifier(ManualClock())
    async with sql_service(f"sqlite:///{tmp_path / 'pool.db'}", notifier) as (service, store):
        await service.opened("run-a", "run-b")
        with notifier.signal(TIMERS) as signal:
            # when waits without a time-out, and then one with, are registered
            for key in "987654321":
                await service.suspend(condition("run-b", key, TO_B, match_from=Start.NOW))
            notified_without = await signal.wait(0)
            await service.suspend(condition("run-b", "0", TO_B, timeout=seconds(5)))
            notified = await signal.wait(0)

        # and one message ends all of them
        await service.send(draft(run("run-b"), "1"))
        enqueued = [row.id for row in await store.fetch(_OUTBOX)]

    # then only the timer has notified, and the outbox holds the wakes in order
    assert (notified_without, notified) == (False, True)
    assert enqueued == [f"c-{number}" for number in range(9, -1, -1)]


class LateError(DomainError):
    """Stands for a failure after the first write."""
