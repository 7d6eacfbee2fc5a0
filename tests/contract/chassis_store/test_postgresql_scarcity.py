"""PostgreSQL short of something: locks that somebody keeps, connections, rights."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import psycopg
import pytest
from psycopg import sql

from services.chassis.errors import StoreUnavailableError
from services.chassis.store.errors import DatabaseRefusedError
from services.chassis.store.opening import Tuning
from services.chassis.store.port import Store, Tx
from services.chassis.store.postgres.session import Outage
from services.chassis.store.postgres.workers import RepeatLimits
from tests.contract.chassis_store.engines import Engine, Gate, add, balance, ids, postgres_tuning
from tests.contract.chassis_store.schema import DEPOSIT, LOCK, PID
from tests.support.postgres import execute, fresh_schema, private_cluster, schema_of

PATIENCE_S = 20.0


@pytest.fixture
def engine(postgres_url: str) -> Engine:
    return Engine(postgres_url)


def deposit(tx: Tx) -> None:
    tx.one(LOCK, id="kept")
    tx.run(DEPOSIT, id="kept", amount=1)


def with_lock_limit(lock_limit_s: float) -> Tuning:
    return postgres_tuning(connections=2, lock_turn_s=0.02, lock_limit_s=lock_limit_s)


@contextmanager
def locked(engine: Engine) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Somebody who keeps the lock of a row until it is rolled back."""
    with psycopg.connect(engine.url) as frozen:
        frozen.execute("SELECT * FROM account WHERE id = 'kept' FOR UPDATE")
        yield frozen


async def test_a_lock_that_somebody_keeps_holds_up_nobody_else(engine: Engine) -> None:
    """Whoever froze in a transaction keeps its locks until the server ends it, 20 s later."""
    async with engine.open(tuning=with_lock_limit(60.0)) as store:
        await store.write(add("kept"))
        with locked(engine) as frozen:
            # when more want the row than there are threads, and somebody another one
            waiting = [asyncio.ensure_future(store.write(deposit)) for _ in range(3)]
            await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE_S):
                assert await store.write(add("another")) == "another"

            # then those who wait still do, and get it
            assert not any(each.done() for each in waiting)
            frozen.rollback()
        await asyncio.gather(*waiting)
        assert await balance(store, "kept") == 3


async def test_who_waits_behind_others_gives_up_no_later_than_they(engine: Engine) -> None:
    async with engine.open(tuning=with_lock_limit(0.5)) as store:
        await store.write(add("kept"))
        with locked(engine):
            # when waits of half a second, one after the other, would take 50 seconds
            waiting = (store.write(deposit) for _ in range(100))
            async with asyncio.timeout(PATIENCE_S):
                refused = await asyncio.gather(*waiting, return_exceptions=True)

        # then
        causes = [each.metadata for each in refused if isinstance(each, StoreUnavailableError)]
        assert causes == [{"cause": "LOCK_NOT_AVAILABLE"}] * 100


async def test_closing_answers_those_who_wait_for_locks(engine: Engine) -> None:
    opening = engine.open(tuning=with_lock_limit(60.0))
    store = await opening.__aenter__()
    await store.write(add("kept"))
    with locked(engine) as frozen:
        waiting = [asyncio.ensure_future(store.write(deposit)) for _ in range(3)]
        await asyncio.sleep(0)
        await store.write(add("another"))

        # when
        closing = asyncio.ensure_future(opening.__aexit__(None, None, None))
        await asyncio.sleep(0)
        frozen.rollback()

    # then
    await closing
    await asyncio.gather(*waiting)


async def _both_writers(store: Store) -> list[int]:
    """The server's processes behind the two threads that write."""
    gates = Gate(), Gate()

    def pid(tx: Tx, gate: Gate) -> int:
        gate(tx)
        return int(tx.all(PID)[0].pid)

    held = [await gate.held_by(store, partial(pid, gate=gate)) for gate in gates]
    for gate in gates:
        gate.opened.set()
    return list(await asyncio.gather(*held))


async def test_a_thread_that_cannot_connect_leaves_work_to_those_who_are() -> None:
    with ExitStack() as stack:
        cluster = stack.enter_context(private_cluster("max_connections=14"))
        shell = stack.enter_context(psycopg.connect(cluster.url, autocommit=True))
        tuning = postgres_tuning(connections=3, repeat_limits=RepeatLimits(outage_s=0.2))
        async with Engine(cluster.url).open(tuning=tuning) as store:
            # given one of two writers whose connection was lost, and whose place is taken
            first, _ = await _both_writers(store)
            with suppress(psycopg.OperationalError):
                while True:
                    stack.enter_context(psycopg.connect(cluster.url, autocommit=True))
            shell.execute("SELECT pg_terminate_backend(%s, 5000)", (first,))
            stack.enter_context(psycopg.connect(cluster.url, autocommit=True))

            # when
            refused = 0
            async with asyncio.timeout(PATIENCE_S):
                for number in range(40):
                    try:
                        await store.write(add(str(number)))
                    except StoreUnavailableError:
                        refused += 1

            # then at most the one that found out is told so
            assert refused <= 1
            assert len(await ids(store)) == 40 - refused


def test_an_outage_may_last_for_days() -> None:
    outage = Outage()
    for _ in range(100_000):
        outage.failed(psycopg.OperationalError("away"))
    assert outage.wait_s() <= Outage.LONGEST_S


@pytest.fixture
def unprivileged(postgres_server: str) -> Iterator[str]:
    """A role that may log in and no more."""
    name = f"tmp_{uuid.uuid4().hex[:16]}"
    execute(postgres_server, sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
    try:
        yield name
    finally:
        execute(postgres_server, sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
        execute(postgres_server, sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


async def test_a_role_without_rights_is_told_which(engine: Engine, unprivileged: str) -> None:
    theirs = Engine(f"{engine.url}&user={unprivileged}")
    grant = sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(
        sql.Identifier(schema_of(engine.url)), sql.Identifier(unprivileged)
    )
    execute(engine.url, grant)

    # an empty schema, in which it may create nothing, and then one of tables that are not its own
    for _ in range(2):
        with pytest.raises(DatabaseRefusedError, match=r"permission denied .*; grant the role"):
            await theirs.open().__aenter__()
        async with engine.open():
            pass


async def test_databases_are_migrated_side_by_side(postgres_server: str) -> None:
    """By one process, as tests do and whoever embeds several services."""
    with ExitStack() as stack:
        urls = [stack.enter_context(fresh_schema(postgres_server)) for _ in range(4)]
        opening = [Engine(url).open(tuning=Tuning.of(connections=1)) for url in urls]
        stores = await asyncio.gather(*(each.__aenter__() for each in opening))
        assert [await store.write(add("a")) for store in stores] == ["a"] * 4
        await asyncio.gather(*(each.__aexit__(None, None, None) for each in opening))
