"""What only PostgreSQL can do wrong: writers side by side, conflicts, limits, refusals at start."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from sqlalchemy import text

from services.chassis.errors import Retry, StoreUnavailableError
from services.chassis.store.errors import ConstraintError, DatabaseRefusedError, SchemaError
from services.chassis.store.opening import Tuning
from services.chassis.store.port import Store, Tx
from services.chassis.store.postgres.workers import RepeatLimits
from services.chassis.store.statement import statement
from tests.contract.chassis_store.engines import Engine, Gate, add, balance, ids, postgres_tuning
from tests.contract.chassis_store.schema import ADD, ADD_CARD, DEPOSIT, IDS, LOCK, PID, raising
from tests.support.postgres import execute, private_cluster, schema_of, terminate
from tests.support.waiting import within_limit

SET = statement(text("UPDATE account SET balance = :balance WHERE id = :id"))
SETTING = statement(text("SELECT current_setting(:name)"))
ROLLBACK = statement(text("ROLLBACK"))


@pytest.fixture
def engine(postgres_url: str) -> Engine:
    return Engine(postgres_url)


@pytest_asyncio.fixture
async def replica(engine: Engine, store: Store) -> AsyncIterator[Store]:
    """A second process on the database of ``store``, as far as that can tell."""
    async with engine.open() as opened:
        yield opened


def increment(id_: str) -> Callable[[Tx], int]:
    """Reads the locked row, decides, writes it back: what a command does to its aggregate."""

    def closure(tx: Tx) -> int:
        (row,) = tx.all(LOCK, id=id_)
        tx.run(SET, id=id_, balance=row.balance + 1)
        return int(row.balance) + 1

    return closure


async def test_what_one_replica_wrote_the_other_reads(store: Store, replica: Store) -> None:
    await store.write(add("a"))
    assert await ids(replica) == ["a"]
    assert not store.sole_owner


async def test_no_update_is_lost_between_replicas(store: Store, replica: Store) -> None:
    """Each reads a balance, adds one and writes the sum; the lock makes it one after the other."""
    # given
    await store.write(add("a"))

    # when
    each = [side.write(increment("a")) for _ in range(100) for side in (store, replica)]
    answers = await asyncio.gather(*each)

    # then every number was answered once
    assert sorted(answers) == list(range(1, 201))
    assert await balance(store, "a") == 200


async def test_writers_of_different_aggregates_do_not_wait_for_each_other(store: Store) -> None:
    # given a transaction that holds one of two rows
    await asyncio.gather(store.write(add("a")), store.write(add("b")))
    gate = Gate()

    def holds(tx: Tx) -> int:
        answer = increment("a")(tx)
        gate(tx)
        return answer

    held = await gate.held_by(store, holds)

    # when
    beside = await store.write(increment("b"))

    # then
    assert not held.done()
    gate.opened.set()
    assert (beside, await held) == (1, 1)


async def test_a_name_is_held_by_one_transaction_at_a_time(store: Store, replica: Store) -> None:
    # given
    gate, order = Gate(), list[str]()

    def first(tx: Tx) -> None:
        tx.lock("lane")
        tx.all(IDS)  # the lock travels with what is read next
        gate(tx)
        order.append("first")

    def second(tx: Tx) -> None:
        tx.lock("lane")
        tx.all(IDS)
        order.append("second")

    held = await gate.held_by(store, first)

    # when another wants the name, and one does that wants another
    waiting = asyncio.ensure_future(replica.write(second))
    await replica.write(lambda tx: tx.lock("another lane"))
    gate.opened.set()
    await asyncio.gather(held, waiting)

    # then
    assert order == ["first", "second"]


@pytest.mark.parametrize(
    ("lock_turn_s", "most_runs"),
    [pytest.param(5.0, 3, id="the server undoes one"), pytest.param(0.1, 4, id="neither waits")],
)
async def test_a_deadlock_ends_with_both_done(
    engine: Engine, lock_turn_s: float, most_runs: int
) -> None:
    async with engine.open(tuning=postgres_tuning(lock_turn_s=lock_turn_s)) as store:
        # given two transactions that each hold what the other wants next
        await asyncio.gather(store.write(add("a")), store.write(add("b")))
        both = threading.Barrier(2)
        runs: list[str] = []

        def crosswise(mine: str, other: str) -> Callable[[Tx], int]:
            def closure(tx: Tx) -> int:
                runs.append(mine)
                increment(mine)(tx)
                if len(runs) <= 2:
                    both.wait(timeout=30)
                return increment(other)(tx)

            return closure

        # when
        answers = await asyncio.gather(
            store.write(crosswise("a", "b")), store.write(crosswise("b", "a"))
        )

        # then what was undone ran again
        assert sorted(answers) == [1, 2]
        assert 3 <= len(runs) <= most_runs
        assert [await balance(store, each) for each in "ab"] == [2, 2]


@pytest.mark.parametrize(
    ("state", "conflicts", "runs"),
    [("40001", 5, 6), ("40P01", 5, 6), ("40001", 0, 1), ("53200", 5, 1), ("57014", 5, 1)],
)
async def test_a_conflict_is_tried_again_so_often_and_no_more(
    engine: Engine, state: str, conflicts: int, runs: int
) -> None:
    # given
    ran: list[str] = []

    def fails(tx: Tx) -> None:
        ran.append("ran")
        tx.run(ADD, id="a", balance=0)
        tx.run(raising(state))

    repeat_limits = RepeatLimits(conflicts=conflicts, conflict_pause_s=0.0)
    async with engine.open(tuning=postgres_tuning(repeat_limits=repeat_limits)) as store:
        # when
        with pytest.raises(StoreUnavailableError) as unavailable:
            await store.write(fails)

        # then
        assert len(ran) == runs
        assert unavailable.value.retry is Retry.RETRYABLE
        assert unavailable.value.retry_after_s == 1.0
        assert await ids(store) == []


async def test_an_error_names_its_condition_and_not_what_was_in_the_row(store: Store) -> None:
    """The server's words quote values, which may be secrets."""
    # given
    await store.write(lambda tx: tx.run(ADD, id="secret", balance=0))

    # when
    with pytest.raises(ConstraintError) as taken:
        await store.write(lambda tx: tx.run(ADD, id="secret", balance=0))
    with pytest.raises(ConstraintError) as dangling:
        await store.write(lambda tx: tx.run(ADD_CARD, id="c", account_id="secret2"))

    # then
    assert str(taken.value) == "UNIQUE_VIOLATION: account_pkey"
    assert str(dangling.value) == "FOREIGN_KEY_VIOLATION: card_account_id_fkey"


async def test_who_waits_too_long_for_a_lock_is_told_so(engine: Engine) -> None:
    async with engine.open(tuning=postgres_tuning(lock_limit_s=0.02)) as store:
        # given
        await store.write(add("a"))
        with psycopg.connect(engine.url) as shell:
            shell.execute("SELECT * FROM account FOR UPDATE")

            # when
            with pytest.raises(StoreUnavailableError) as busy:
                await store.write(increment("a"))

        # then
        assert busy.value.metadata == {"cause": "LOCK_NOT_AVAILABLE"}
        assert await store.write(increment("a")) == 1


async def test_a_closure_cannot_end_its_transaction(store: Store) -> None:
    """What follows would be kept whatever happens to it."""
    with pytest.raises(RuntimeError, match="ended its transaction"):
        await store.write(lambda tx: tx.run(ROLLBACK))
    assert await store.write(add("a")) == "a"


async def test_commits_are_durable_whatever_the_role_is_set_up_for(engine: Engine) -> None:
    loose = Engine(engine.url.replace("options=", "options=-csynchronous_commit%3Doff%20"))

    async with loose.open() as store:
        (row,) = await store.write(lambda tx: tx.all(SETTING, name="synchronous_commit"))
        assert row[0] == "on"
        assert store.info.durability == "full"


def states_of(engine: Engine) -> list[object]:
    """What each connection of this test does at the moment."""
    query = sql.SQL(
        "SELECT state FROM pg_stat_activity WHERE application_name = {} AND pid <> pg_backend_pid()"
    )
    name = sql.Literal(schema_of(engine.url))
    return [state for (state,) in execute(engine.url, query.format(name))]


async def test_every_thread_has_its_connection_and_the_setting_says_how_many(
    engine: Engine,
) -> None:
    """Those for lists, locks and notifications come on top."""

    def reads_and_waits(tx: Tx, gate: Gate) -> None:
        tx.all(IDS)
        gate(tx)

    async with engine.open(tuning=Tuning.of(connections=5)) as store:
        gates = [Gate() for _ in range(4)]
        held = [await each.held_by(store, partial(reads_and_waits, gate=each)) for each in gates]
        assert states_of(engine).count("idle in transaction") == 4
        for each in gates:
            each.opened.set()
        await asyncio.gather(*held)
    # The server ends a connection a moment after it was closed.
    async with within_limit():
        while await asyncio.to_thread(states_of, engine):
            pass


async def test_lost_connections_are_made_anew_without_a_word(
    engine: Engine, store: Store, postgres_server: str
) -> None:
    # given
    await store.write(add("a"))

    # when an operator cuts every connection: for lists, for locks and two for wake-ups beside
    assert terminate(postgres_server, schema_of(engine.url)) == 8 + 1 + 1 + 2

    # then
    assert await store.write(add("b")) == "b"
    assert await ids(store) == ["a", "b"]
    assert [row.id for row in await store.fetch(IDS)] == ["a", "b"]


async def test_a_closure_that_lost_its_connection_runs_again(
    store: Store, postgres_server: str
) -> None:
    # given
    runs: list[str] = []

    def cut(tx: Tx) -> str:
        runs.append("ran")
        tx.run(ADD, id=f"run {len(runs)}", balance=0)
        pid = tx.all(PID)[0].pid
        if len(runs) == 1:
            execute(postgres_server, f"SELECT pg_terminate_backend({pid}, 5000)")
        tx.run(DEPOSIT, id=f"run {len(runs)}", amount=1)
        tx.all(IDS)  # here the loss is noticed
        return "done"

    # when, then nothing is left of the first
    assert await store.write(cut) == "done"
    assert await ids(store) == ["run 2"]


async def test_a_closure_that_loses_every_connection_is_given_up(
    store: Store, postgres_server: str
) -> None:
    """It may be what crashes the server."""
    # given
    runs: list[str] = []

    def cut(tx: Tx) -> None:
        runs.append("ran")
        execute(postgres_server, f"SELECT pg_terminate_backend({tx.all(PID)[0].pid}, 5000)")
        tx.run(ADD, id="a", balance=0)
        tx.all(IDS)

    # when
    with pytest.raises(StoreUnavailableError) as lost:
        await store.write(cut)

    # then
    assert len(runs) == 4
    assert lost.value.metadata["cause"] in {"ADMIN_SHUTDOWN", "CONNECTION_LOST"}
    assert lost.value.retry_after_s == 1.0
    assert await ids(store) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://u:hunter2@127.0.0.1:1/d", ["127.0.0.1", "start the server", "database d"]),
        ("postgresql://u:hunter2@no.such.host.invalid/d", ["no.such.host.invalid", "correct host"]),
        ("postgresql:///d?host=/no/such/folder", ["/no/such/folder", "start the server"]),
    ],
)
async def test_a_server_that_cannot_be_reached_refuses_the_start(url: str, says: list[str]) -> None:
    with pytest.raises(DatabaseRefusedError) as refused:
        await Engine(url).open().__aenter__()

    assert all(each in refused.value.message for each in ["database_url", *says])
    assert "hunter2" not in refused.value.message
    assert "\n" not in refused.value.message
    assert refused.value.retry is Retry.HOST_CONFIGURATION_NEEDED


@pytest.mark.parametrize(
    "url", ["postgresql://u:7/hunter2@127.0.0.1:1/d", "postgresql://u:a@b/hunter2@127.0.0.1:1/d"]
)
async def test_a_password_that_was_not_escaped_is_not_quoted(url: str) -> None:
    """The part behind its slash looks like the name of a database."""
    with pytest.raises(SchemaError, match="special characters escaped by %") as refused:
        await Engine(url).open().__aenter__()
    assert "hunter2" not in str(refused.value)


async def test_what_the_server_refuses_is_told_with_the_fix(postgres_server: str) -> None:
    base = postgres_server.rpartition("/")[0]
    for url, fix in (
        (f"{base}/no_such_database", "CREATE DATABASE no_such_database"),
        (f"{postgres_server}?user=no_such_role", "create the role"),
        (f"{postgres_server}?options=-csearch_path%3Dnowhere", "CREATE SCHEMA"),
        (f"{postgres_server}?nonsense=1", "postgresql://user:password@host:port/database"),
        ("mysql://root@host/d", "postgresql://user:password@host:port/database"),
    ):
        with pytest.raises((DatabaseRefusedError, SchemaError)) as refused:
            await Engine(url).open().__aenter__()
        assert fix in refused.value.message


async def test_a_server_that_would_lose_writes_is_refused() -> None:
    refused = pytest.raises(DatabaseRefusedError, match="set fsync = on")
    with private_cluster("fsync=off") as cluster, refused:
        await Engine(cluster.url).open().__aenter__()


async def test_too_many_connections_are_found_at_start() -> None:
    with private_cluster("max_connections=10") as cluster:
        small = Engine(cluster.url)
        greedy = small.open(tuning=Tuning.of(connections=20))
        with pytest.raises(DatabaseRefusedError, match="lower database_connections"):
            await greedy.__aenter__()
        async with small.open(tuning=Tuning.of(connections=2)) as store:
            assert await store.write(add("a")) == "a"
