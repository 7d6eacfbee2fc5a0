"""Changes of a closure travel together, and nothing but the number of round trips shows it."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from services.chassis.store.columns import Integer
from services.chassis.store.errors import ConstraintError, OutcomeUnknownError
from services.chassis.store.port import Store, Tx
from services.chassis.store.postgres.session import connect, writing
from services.chassis.store.postgres.tx import PostgresTx
from services.chassis.store.postgres.wire import Wire
from services.chassis.store.statement import statement
from tests.contract.chassis_store.engines import (
    Engine,
    add,
    add_in_steps,
    balance,
    balance_in,
    ids,
    postgres_tuning,
)
from tests.contract.chassis_store.schema import ADD, ADD_CARD, DEPOSIT, IDS, PID
from tests.support.postgres import execute, private_cluster, schema_of, terminate
from tests.support.waiting import within_limit

PREPARED = statement(
    text(
        "SELECT count(*) AS count FROM pg_prepared_statements "
        "WHERE statement LIKE 'SELECT account.id%'"
    ).columns(count=Integer)
)


@pytest.fixture
def engine(postgres_url: str) -> Engine:
    return Engine(postgres_url)


def steps_and_expected(seed: int) -> tuple[Callable[[Tx], list[int]], list[int]]:
    """A closure of up to 40 random statements on one row, and what its reads must answer."""
    draw = random.Random(seed)
    kinds = [draw.choice(["run", "many", "changed", "lock", "read"]) for _ in range(40)]
    amounts = [draw.randint(-9, 9) for _ in kinds]
    id_, total, expected = f"row {seed}", 0, []
    for kind, amount in zip(kinds, amounts, strict=True):
        total += {"run": 1, "many": 2, "changed": 1}.get(kind, 0) * amount
        if kind == "read":
            expected.append(total)

    def closure(tx: Tx) -> list[int]:
        tx.run(ADD, id=id_, balance=0)
        seen: list[int] = []
        for kind, amount in zip(kinds, amounts, strict=True):
            change = {"id": id_, "amount": amount}
            if kind == "run":
                tx.run(DEPOSIT, **change)
            elif kind == "many":
                tx.run_many(DEPOSIT, [change, change])
            elif kind == "changed":
                assert tx.changed(DEPOSIT, **change) == 1
            elif kind == "lock":
                tx.lock("lane")
            else:
                seen.append(balance_in(tx, id_))
        return [*seen, balance_in(tx, id_)]

    return closure, [*expected, total]


async def test_a_read_sees_every_change_before_it_and_none_after_it(store: Store) -> None:
    for seed in range(20):
        closure, expected = steps_and_expected(seed)
        assert await store.write(closure) == expected
        assert await balance(store, f"row {seed}") == expected[-1]


@pytest.mark.parametrize("rows", [499, 500, 501, 1_201])
async def test_many_changes_travel_in_several_batches(store: Store, rows: int) -> None:
    # when
    many = [{"id": f"{n:04}", "balance": n} for n in range(rows)]
    await store.write(lambda tx: tx.run_many(ADD, many))

    # then
    assert await ids(store) == [f"{n:04}" for n in range(rows)]


@pytest.mark.parametrize("wrong", [0, 499, 500, 1_200])
async def test_one_wrong_change_of_many_undoes_them_all(
    store: Store, wrong: int, caplog: pytest.LogCaptureFixture
) -> None:
    # given
    await store.write(add("taken"))
    many = [{"id": f"{n:04}", "balance": n} for n in range(1_201)]
    many[wrong]["id"] = "taken"

    # when
    with pytest.raises(ConstraintError, match="UNIQUE_VIOLATION: account_pkey"):
        await store.write(lambda tx: tx.run_many(ADD, many))

    # then, and the driver says nothing of its own about it
    assert await ids(store) == ["taken"]
    assert caplog.records == []
    assert await store.write(add("next")) == "next"


async def test_an_error_of_a_change_is_raised_by_the_next_read(store: Store) -> None:
    # given
    raised: list[str] = []

    def swallows(tx: Tx) -> str:
        tx.run(ADD, id="a", balance=0)
        try:
            tx.all(IDS)
        except psycopg.Error as error:
            raised.append(type(error).__name__)
        tx.run(ADD, id="b", balance=0)
        return "fine"

    await store.write(add("a"))

    # when
    with pytest.raises(ConstraintError, match="UNIQUE_VIOLATION: account_pkey"):
        await store.write(swallows)

    # then
    assert raised == ["UniqueViolation"]
    assert await ids(store) == ["a"]


async def test_a_parameter_without_a_form_fails_where_it_is_given_and_dooms_the_closure(
    store: Store,
) -> None:
    # given
    raised: list[str] = []

    def swallows(tx: Tx) -> None:
        tx.run(ADD, id="a", balance=0)
        try:
            tx.run(ADD, id="b", balance=object())
        except psycopg.Error as error:
            raised.append(type(error).__name__)

    # when
    with pytest.raises(psycopg.ProgrammingError, match="cannot adapt type 'object'"):
        await store.write(swallows)

    # then
    assert raised == ["ProgrammingError"]
    assert await ids(store) == []


async def test_a_statement_that_was_not_reached_in_a_failed_batch_works_later(
    engine: Engine,
) -> None:
    """The server never saw it, so it is not prepared there."""
    async with engine.open(tuning=postgres_tuning(connections=2)) as store:
        # given
        def fails(tx: Tx) -> None:
            tx.run(ADD, id="a", balance=0)
            tx.run(ADD, id="a", balance=0)
            tx.run(ADD_CARD, id="card", account_id="a")
            tx.all(PID)

        with pytest.raises(ConstraintError):
            await store.write(fails)

        # when, then on the same connection
        def works(tx: Tx) -> int:
            tx.run(ADD, id="a", balance=0)
            tx.run(ADD_CARD, id="card", account_id="a")
            return len(tx.all(PID))

        assert await store.write(works) == 1


async def test_a_refused_closure_and_a_read_leave_every_statement_prepared(
    engine: Engine,
) -> None:
    """To prepare them again takes a round trip each."""

    def refuses(tx: Tx) -> None:
        tx.all(IDS)
        raise LookupError

    async with engine.open(tuning=postgres_tuning(connections=2)) as store:
        for use in (store.write, store.read):
            with pytest.raises(LookupError):
                await use(refuses)
            assert await use(lambda tx: tx.all(PREPARED)[0].count) == 1


@contextmanager
def round_trips(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[list[int]]:
    """Afterwards, how often the client waited for the server, as libpq's protocol trace tells."""
    count: list[int] = []
    libpq = connection.pgconn
    with tempfile.TemporaryFile() as trace:
        libpq.trace(trace.fileno())
        try:
            yield count
        finally:
            libpq.untrace()
        trace.seek(0)
        count.append(sum(b"\tF\t" in each and b"Sync" in each for each in trace))


@pytest.mark.parametrize(
    ("closure", "trips"),
    [
        (lambda tx: tx.all(IDS), 2),
        (add_in_steps("a"), 2),
        (lambda tx: [tx.lock("lane"), tx.all(IDS), tx.run(DEPOSIT, id="a", amount=1)], 2),
        (lambda tx: [tx.all(IDS), tx.changed(DEPOSIT, id="a", amount=1)], 3),
        # First the changes and then the COMMIT, so that the loss of an idle connection is told
        # apart from one during the COMMIT.
        (lambda tx: tx.run_many(DEPOSIT, [{"id": "a", "amount": 1}] * 400), 2),
        (lambda tx: tx.run_many(DEPOSIT, [{"id": "a", "amount": 1}] * 1_200), 3),
    ],
    ids=["a read", "changes around a read", "a lock", "a count", "changes", "many changes"],
)
async def test_a_closure_waits_for_the_server_where_it_reads_and_at_the_commit(
    engine: Engine, closure: Callable[[Tx], object], trips: int
) -> None:
    async with engine.open():
        pass  # its tables
    with connect(engine.url, writing(5.0, 5.0)) as connection:
        wire = Wire(connection)

        def once() -> None:
            tx = PostgresTx(wire, "BEGIN")
            closure(tx)
            tx.commit()

        # given statements that the server has prepared
        once()
        connection.execute("TRUNCATE account CASCADE")

        # when
        with round_trips(connection) as count:
            once()

        # then
        assert count == [trips]


async def test_changes_on_a_connection_that_was_lost_while_idle_are_run_again(
    engine: Engine, postgres_server: str
) -> None:
    # given one connection for writes
    runs: list[str] = []

    def changes(tx: Tx) -> str:
        runs.append("ran")
        tx.run(ADD, id="b", balance=0)
        tx.run(DEPOSIT, id="b", amount=1)
        return "done"

    async with engine.open(tuning=postgres_tuning(connections=2)) as store:
        await store.write(add("a"))

        # when
        terminate(postgres_server, schema_of(engine.url))

        # then
        assert await store.write(changes) == "done"
        assert len(runs) == 2
        assert await balance(store, "b") == 1


async def test_a_loss_while_changes_travel_with_the_commit_leaves_the_outcome_open(
    store: Store, postgres_server: str
) -> None:
    """Nobody can say whether the COMMIT arrived."""
    # given
    runs: list[str] = []

    def cut(tx: Tx) -> None:
        runs.append("ran")
        cut_off = sql.SQL("SELECT pg_terminate_backend({}, 5000)").format(tx.all(PID)[0].pid)
        execute(postgres_server, cut_off)
        tx.run(ADD, id="a", balance=0)

    # when
    with pytest.raises(OutcomeUnknownError, match="repeat it with its request id"):
        await asyncio.wait_for(store.write(cut), 30)

    # then it was not run again
    assert len(runs) == 1
    assert await ids(store) == []


async def rollbacks(url: str) -> int:
    """As the server counts them, once every connection but this has reported and ended."""
    others = "SELECT pid FROM pg_stat_activity WHERE usename IS NOT NULL AND datname IS NOT NULL"
    async with within_limit():
        while len(await asyncio.to_thread(execute, url, others)) > 1:
            pass
    query = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    return int(str(execute(url, query)[0][0]))


async def test_only_what_fails_is_rolled_back() -> None:
    """A rollback that the server counts is a failure that an operator may look for."""

    async def succeeds(store: Store) -> None:
        await store.write(add_in_steps("a"))
        await ids(store)
        await store.fetch(IDS)

    async def fails(store: Store) -> None:
        with pytest.raises(ConstraintError):
            await store.write(add("a"))

    with private_cluster() as cluster:
        # given what the start of a store adds
        counts = [await rollbacks(cluster.url)]
        for use in (None, succeeds, fails):
            async with Engine(cluster.url).open() as store:
                if use is not None:
                    await use(store)
            counts.append(await rollbacks(cluster.url))

        # then
        of_start, of_success, of_failure = (b - a for a, b in pairwise(counts))
        assert (of_success - of_start, of_failure - of_start) == (0, 1)
