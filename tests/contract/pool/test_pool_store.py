"""The SQL store against the memory model: the same commands, the same answers, the same rows."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from services.chassis.errors import DomainError
from services.chassis.notifier import LocalNotifier
from services.chassis.store.opening import open_store
from services.chassis.store.port import Store
from services.chassis.store.statement import statement
from services.pool.core.events import Event, EventFilter, EventKind, Start, Wake
from services.pool.core.filters import Dimension
from services.pool.core.model import (
    Address,
    Cardinality,
    Correlation,
    InlineBody,
    PoolConfig,
    ResponseContract,
    TargetKind,
)
from services.pool.core.ports import MemberQuery
from services.pool.store import statements as sql
from services.pool.store.pool_store import SqlPoolStore
from services.pool.store.pool_tx import SqlPoolTx, lane_of, tenant_of
from services.pool.store.tables import MIGRATIONS, metadata
from services.pool.store.tables import log as log_table
from services.pool.store.tables import outbox as outbox_table
from tests.support.clock import ManualClock
from tests.support.pool_desk import (
    POOL,
    PoolDesk,
    condition,
    draft,
    everyone,
    keyed,
    policy,
    run,
    seconds,
    topic,
)
from tests.support.pool_memory import MemoryTx

RUNS = ["run-a", "run-b", "run-c"]
Command: TypeAlias = Callable[[PoolDesk], Awaitable[object]]

_OUTBOX = statement(
    select(outbox_table.c.id, outbox_table.c.payload).order_by(
        outbox_table.c.lane, outbox_table.c.seq
    )
)
_LOG = statement(
    select(log_table.c.sequence, log_table.c.kind, log_table.c.actor).order_by(log_table.c.sequence)
)


def encode_wake(pool_id: str, wake: Wake, message_ids: Sequence[str]) -> bytes:
    return repr((pool_id, wake, tuple(message_ids))).encode()


@asynccontextmanager
async def sql_desk(url: str) -> AsyncIterator[tuple[PoolDesk, Store]]:
    clock = ManualClock()
    opened = open_store(
        url,
        metadata=metadata,
        migrations=MIGRATIONS,
        clock=clock,
        notifier=LocalNotifier(clock),
    )
    async with opened as store:
        yield PoolDesk(SqlPoolStore(store, clock, encode_wake), clock), store


def _joins(drawn: st.DrawFn) -> Command:
    run_id = drawn(st.sampled_from(RUNS))
    topics = drawn(st.sampled_from([(), ("t",), ("t", "u")]))
    policies = drawn(st.sampled_from([(), (policy("p"),)]))
    return lambda desk: desk.join(run_id, f"x{run_id == 'run-c'}", *topics, policies=policies)


def _sends(drawn: st.DrawFn) -> Command:
    to = drawn(
        st.sampled_from(
            [
                run("run-b"),
                topic("t"),
                everyone(),
                Address(TargetKind.AGENT, "xFalse", Cardinality.EXACTLY_ONE),
            ]
        )
    )
    key = drawn(st.sampled_from([f"k{n}" for n in range(8)]))
    contract = drawn(st.sampled_from([None, ResponseContract(1, seconds(5)), ResponseContract(2)]))
    expires_s = drawn(st.sampled_from([None, 4]))
    labels = drawn(st.sampled_from([(), (Correlation("job", "7"), Correlation("part", "1"))]))
    body = InlineBody(key.encode(), "text/plain")

    def send(desk: PoolDesk) -> Awaitable[object]:
        expires = None if expires_s is None else desk.clock.now() + seconds(expires_s)
        return desk.send(
            draft(to, key, content=body, contract=contract, expire_time=expires, correlation=labels)
        )

    return send


def _responds(drawn: st.DrawFn) -> Command:
    run_id, number = drawn(st.sampled_from(RUNS)), drawn(st.integers(0, 7))
    return lambda desk: desk.respond(run_id, f"m-k{number}", f"a-{run_id}-{number}")


def _fetches(drawn: st.DrawFn) -> Command:
    run_id, limit = drawn(st.sampled_from(RUNS)), drawn(st.integers(1, 3))
    named = drawn(st.sampled_from([(), ("m-k1", "m-k2")]))
    return lambda desk: desk.fetch(run_id, *named, limit=limit, lease_s=3)


def _reads(drawn: st.DrawFn) -> Command:
    run_id = drawn(st.sampled_from(RUNS))

    async def read(desk: PoolDesk) -> object:
        fetched = await desk.fetch(run_id, lease_s=3)
        return [
            await desk.ack(run_id, each.delivery.message_id, each.delivery.lease_token)
            for each in fetched.parcels
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
    return lambda desk: desk.suspend(waited)


def _cancels(drawn: st.DrawFn) -> Command:
    number = drawn(st.integers(0, 8))
    return lambda desk: desk.wakes.cancel(desk.caller, POOL, f"c-w{number}")


def _waits(drawn: st.DrawFn) -> Command:
    delta_s = drawn(st.sampled_from([1, 3, 6]))

    async def wait(desk: PoolDesk) -> object:
        desk.clock.advance(delta_s)
        return await desk.fire_due()

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


async def _join_all(desk: PoolDesk) -> object:
    await desk.open(PoolConfig(policy_refs=()))
    return [await desk.join(run_id, f"x{run_id == 'run-c'}", "t") for run_id in RUNS]


async def answer(command: Command, desk: PoolDesk) -> object:
    try:
        return await command(desk)
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
        yield f"sqlite:///{folder}/pool.db"


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    with databases() as empty:
        yield empty


# Each example takes an empty database, so a failure is shown as it was found.
_FOUND = settings(deadline=None, phases=[Phase.reuse, Phase.generate])


@settings(_FOUND, max_examples=60)
@given(commands())
async def test_the_store_answers_as_the_model_does(todo: list[Command]) -> None:
    with _in_a_folder() as url:
        await _both_do(todo, url)


@settings(_FOUND, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commands())
async def test_the_store_answers_as_the_model_does_on_postgresql(
    emptied_schema: Callable[[str], str], todo: list[Command]
) -> None:
    await _both_do(todo, emptied_schema("pool"))


async def _both_do(todo: list[Command], url: str) -> None:
    async with sql_desk(url) as (real, store):
        # given both, empty
        model = PoolDesk()

        # when the same is asked of them
        for command in todo:
            assert await answer(command, real) == await answer(command, model)

        # then they hold the same
        await _same(real, store, model)


async def _same(real: PoolDesk, store: Store, model: PoolDesk) -> None:
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
    log = [(row.sequence, row.kind, row.actor) for row in await store.fetch(_LOG)]
    assert log == [(e.sequence, e.kind.value, actor) for _, e, _, actor in model.memory.log]


def _contents(tx: SqlPoolTx | MemoryTx, model: PoolDesk) -> list[Any]:
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
    async with sql_desk(url) as (desk, store):
        # given a pool
        await _join_all(desk)
        before = await store.fetch(_LOG)

        # when a command fails after it has written
        def fails(journal: Any) -> None:
            journal.record(Event(kind=EventKind.POOL_CREATED), journal.pool)
            raise LateError("late")

        with pytest.raises(LateError):
            await desk.desk.command(desk.caller, POOL, fails, lambda _: b"")

        # then the log and the head are as they were
        assert await store.fetch(_LOG) == before
        assert (await desk.pools.get(desk.caller, POOL)).head_sequence == len(before)


async def test_answers_of_requests_survive(url: str) -> None:
    # given a request answered by one server
    async with sql_desk(url) as (desk, _):
        caller = keyed(desk.caller, "r-1")
        first = await desk.pools.open(caller, POOL, PoolConfig())

    # when the next one on the file is asked the same
    async with sql_desk(url) as (desk, _):
        again = await desk.pools.open(keyed(desk.caller, "r-1"), POOL, PoolConfig())

    # then it knows the answer
    assert again.body == repr(first).encode()  # type: ignore[union-attr]


async def test_a_broadcast_reaches_a_thousand_members_and_their_waits(url: str) -> None:
    async with sql_desk(url) as (desk, _):
        # given a thousand members of whom two wait
        await desk.open()
        for number in range(1000):
            await desk.join(f"run-{number:04}")
        for number in (7, 999):
            mine = EventFilter(
                recipient_run_ids=(f"run-{number:04}",), kinds=("message.delivered",)
            )
            await desk.suspend(condition(f"run-{number:04}", f"w{number}", mine))

        # when one of them broadcasts
        sent = await desk.send(draft(everyone(), "k1", "run-0000"))

        # then all others have it, in two records, and both waits are over
        assert len(sent.record.receipt.delivered_to) == 999
        assert [(await desk.wake(f"c-w{n}")).state.value for n in (7, 999)] == ["triggered"] * 2
        assert (await desk.pools.get(desk.caller, POOL)).open_wakes == 0


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
async def test_hot_statements_search_and_never_scan(tmp_path: Path, asked: Any, index: str) -> None:
    """Cost has to follow what is found, not what is stored."""
    async with sql_desk(f"sqlite:///{tmp_path}/pool.db") as (_, _store):
        # given the schema
        with sqlite3.connect(tmp_path / "pool.db") as connection:
            count = asked.sqlite.text.count("?")

            # when a hot statement is planned
            plan = connection.execute(
                f"EXPLAIN QUERY PLAN {asked.sqlite.text}", [1] * count
            ).fetchall()
        connection.close()

    # then it goes through its index
    steps = [row[3] for row in plan]
    assert any(index in step for step in steps), steps
    assert not any(step.startswith("SCAN") and "timer_due" not in step for step in steps), steps


@pytest.mark.parametrize("tenant", ["default", "", "1:a/b", "ü:/"])
def test_a_lane_knows_its_tenant(tenant: str) -> None:
    # given ids that hold the separators, when a lane is named after them
    lane = lane_of(tenant, "a/b:c")

    # then the tenant can be read back, and no other pair has that lane
    assert tenant_of(lane) == tenant
    assert len({lane_of("a", "b/c"), lane_of("a/b", "c"), lane_of("a", "b")}) == 3


class LateError(DomainError):
    """Stands for whatever goes wrong late."""
