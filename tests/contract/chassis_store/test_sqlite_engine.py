"""What only SQLite can do wrong: files, owners, limits, and losing a whole transaction."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import Integer, select, text

from services.chassis.errors import Retry, StoreUnavailableError
from services.chassis.store.errors import SchemaError, StoreOwnedError
from services.chassis.store.opening import SqliteTuning, Tuning
from services.chassis.store.port import Store, Tx
from services.chassis.store.sqlite_files import database_path
from services.chassis.store.sqlite_writer import BatchLimits
from services.chassis.store.statement import statement
from tests.contract.chassis_store.children import child, line
from tests.contract.chassis_store.engines import (
    ONE_BATCH,
    Engine,
    Gate,
    add,
    count,
    ids,
    one_batch,
    sqlite_engine,
)
from tests.contract.chassis_store.schema import ADD, ADD_CARD, ADD_WHOLE, GET, account

_ENDLESS = statement(
    text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS i FROM n"
    ).columns(i=Integer)
)
_ROLLBACK = statement(text("ROLLBACK"))


@pytest.fixture
def database(tmp_path: Path) -> Engine:
    return sqlite_engine(tmp_path)


async def test_files_and_folders_are_for_the_owner_alone(database: Engine) -> None:
    path = database_path(database.url)
    async with database.open() as store:
        await store.write(lambda tx: tx.run(ADD, id="a", balance=0))
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes == dict.fromkeys(
        ("store.db", "store.db-shm", "store.db-wal", "store.db.lock"), 0o600
    )


async def test_closing_leaves_no_write_ahead_log_behind(database: Engine) -> None:
    """The writing connection closes last, and takes the WAL into the database."""
    async with database.open() as store:
        await store.write(lambda tx: tx.run(ADD, id="a", balance=0))
    names = {each.name for each in database_path(database.url).parent.iterdir()}
    assert names == {"store.db", "store.db.lock"}


async def test_commits_are_durable_and_references_checked(database: Engine) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint")

    def settings(tx: Tx) -> list[object]:
        return [tx.all(statement(text(f"PRAGMA {name}")))[0][0] for name in names]

    async with database.open() as store:
        assert await store.write(settings) == ["wal", 2, 1, 4000]
        # Readers never checkpoint: two connections that do can corrupt the WAL of old versions.
        assert (await store.read(settings))[3] == 0
        assert store.sole_owner


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://h/d", "store.db"]
)
async def test_a_url_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(SchemaError, match="sqlite:///"):
        database_path(url)


async def test_a_second_owner_in_the_same_process_is_refused(database: Engine) -> None:
    async with database.open() as store:
        with pytest.raises(StoreOwnedError) as refused:
            await database.open().__aenter__()
        await store.write(lambda tx: tx.run(ADD, id="a", balance=0))

    path = str(database_path(database.url))
    assert refused.value.metadata == {"path": path, "owner_pid": str(os.getpid())}
    assert path in refused.value.message
    assert "stop that process" in refused.value.message
    assert refused.value.retry is Retry.HOST_CONFIGURATION_NEEDED


async def test_another_process_keeps_the_store_until_it_is_killed(database: Engine) -> None:
    """The lock is the operating system's: no stale file can outlive its owner."""
    with child(database, "0") as owner:
        assert line(owner) == "ready"

        # when
        with pytest.raises(StoreOwnedError) as refused:
            await database.open().__aenter__()
        owner.send_signal(signal.SIGKILL)
        owner.wait()

        # then
        assert refused.value.metadata["owner_pid"] == str(owner.pid)
        async with database.open() as store:
            assert await count(store) == 0


async def test_a_full_disk_fails_the_whole_batch_and_nothing_acknowledged_is_lost(
    database: Engine,
) -> None:
    """SQLite rolls the transaction back by itself; closures before it in the batch go with it."""

    def limit(tx: Tx) -> None:
        pages = int(tx.all(statement(text("PRAGMA page_count")))[0][0])
        tx.all(statement(text(f"PRAGMA max_page_count = {pages + 8}")))

    def fat(tx: Tx) -> None:
        tx.run(ADD_WHOLE, id="fat", balance=0, open=None, seen_at=None, photo=b"x" * 200_000)

    async with database.open(tuning=ONE_BATCH) as store:
        # given
        await store.write(lambda tx: tx.run(ADD, id="before", balance=0))
        await store.write(limit)

        # when a small write, one that fills the disk and another small one share a commit
        gate = Gate()
        held = asyncio.ensure_future(store.write(gate))
        await asyncio.to_thread(gate.entered.wait)
        batch = [
            asyncio.ensure_future(store.write(each))
            for each in (
                lambda tx: tx.run(ADD, id="small", balance=0),
                fat,
                lambda tx: tx.run(ADD, id="last", balance=0),
            )
        ]
        await asyncio.sleep(0)
        gate.opened.set()
        outcomes = await asyncio.gather(held, *batch, return_exceptions=True)

        # then whoever was told that it is written finds it, and nobody else does
        kept = await ids(store)
        assert isinstance(outcomes[2], StoreUnavailableError)
        failed = [each for each in outcomes if isinstance(each, StoreUnavailableError)]
        assert {each.metadata["cause"] for each in failed} == {"SQLITE_FULL"}
        assert ("small" in kept) == (outcomes[1] == 1)
        assert ("last" in kept) == (outcomes[3] == 1)
        assert "before" in kept
        assert "fat" not in kept

        # and the store goes on
        assert await store.write(lambda tx: tx.run(ADD, id="after", balance=0)) == 1


async def test_a_lost_transaction_fails_whoever_was_in_it_and_no_one_else(
    database: Engine,
) -> None:
    """What follows in it would run on its own, and be kept whatever happens to it."""
    async with database.open(tuning=ONE_BATCH) as store:
        # given a commit that is still open, and one closure in it that ends the transaction
        gate = Gate()
        held = asyncio.ensure_future(store.write(gate))
        await asyncio.to_thread(gate.entered.wait)
        innocent = asyncio.ensure_future(store.write(lambda tx: tx.run(ADD, id="a", balance=0)))
        guilty = asyncio.ensure_future(store.write(lambda tx: tx.run(_ROLLBACK)))
        later = asyncio.ensure_future(store.write(lambda tx: tx.run(ADD, id="z", balance=0)))
        await asyncio.sleep(0)

        # when
        gate.opened.set()
        outcomes = await asyncio.gather(held, innocent, guilty, later, return_exceptions=True)

        # then those before it are told, and the one after it got a transaction of its own
        unavailable = StoreUnavailableError
        assert [type(each) for each in outcomes[:2]] == [unavailable, unavailable]
        assert isinstance(outcomes[2], sqlite3.OperationalError)
        assert outcomes[3] == 1
        assert await ids(store) == ["z"]


async def test_a_failed_commit_fails_all_of_its_batch_and_nothing_else(
    database: Engine,
) -> None:
    async with database.open(tuning=ONE_BATCH) as store:
        # given
        await store.write(add("before"))

        # when one closure leaves a reference that only the COMMIT can refuse
        outcomes = await one_batch(
            store, add("a"), lambda tx: tx.run(ADD_CARD, id="c", account_id="nobody"), add("b")
        )

        # then nobody is told that it was written
        assert [type(each) for each in outcomes] == [StoreUnavailableError] * 3
        assert await ids(store) == ["before"]

        # and the store goes on
        await store.write(add("after"))
        assert await ids(store) == ["after", "before"]


async def test_who_failed_alone_keeps_its_own_error_when_the_commit_fails(
    database: Engine,
) -> None:
    def refuses(_tx: Tx) -> None:
        raise LookupError("mine")

    async with database.open(tuning=ONE_BATCH) as store:
        refused, lost = await one_batch(
            store, refuses, lambda tx: tx.run(ADD_CARD, id="c", account_id="nobody")
        )

        assert isinstance(refused, LookupError)
        assert isinstance(lost, StoreUnavailableError)


@pytest.mark.parametrize("statements", ["one endless", "endlessly many"])
async def test_a_read_that_takes_too_long_is_stopped(database: Engine, statements: str) -> None:
    """It would pin the write-ahead log."""

    def many(tx: Tx) -> None:
        while True:
            tx.one(GET, id="a")

    def one(tx: Tx) -> object:
        return tx.one(_ENDLESS)

    async with database.open(
        tuning=Tuning(sqlite=SqliteTuning(readers=1, read_limit_s=0.05))
    ) as store:
        with pytest.raises(StoreUnavailableError) as stopped:
            await store.read(one if statements == "one endless" else many)
        assert stopped.value.metadata == {"cause": "READ_TOO_LONG"}
        assert stopped.value.retry_after_s == 1.0
        # and the thread takes the next one
        assert await ids(store) == []


async def test_a_batch_ends_at_its_limit(database: Engine) -> None:
    """The first of a batch waits for the last: a flood must not make it wait for ever."""
    async with database.open(
        tuning=Tuning(sqlite=SqliteTuning(batch=BatchLimits(closures=2, work_s=60)))
    ) as store:
        await asyncio.gather(
            *(store.write(lambda tx, n=n: tx.run(ADD, id=str(n), balance=0)) for n in range(7))  # type: ignore[misc]  # binds n now
        )
        assert await count(store) == 7


async def test_a_mistake_in_a_statement_is_not_taken_for_an_outage(store: Store) -> None:
    """A caller that repeats an SQL mistake would never be told."""
    broken = statement(text("SELECT x FROM nowhere"))
    for attempt in (store.write, store.read):
        with pytest.raises(Exception, match="nowhere") as raised:
            await attempt(lambda tx: tx.all(broken))
        assert not isinstance(raised.value, StoreUnavailableError)


async def test_a_writer_on_the_outside_makes_writes_unavailable_not_lost(database: Engine) -> None:
    """An operator's shell can hold the write lock; whoever waits too long is told so."""
    async with database.open() as store:
        await store.write(lambda tx: tx.all(statement(text("PRAGMA busy_timeout = 10"))))
        shell = sqlite3.connect(database_path(database.url), isolation_level=None)
        try:
            shell.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError) as busy:
                await store.write(lambda tx: tx.run(ADD, id="a", balance=0))
        finally:
            shell.close()
        assert busy.value.metadata == {"cause": "SQLITE_BUSY"}
        assert busy.value.retry_after_s == 1.0
        assert await ids(store) == []
        assert await store.write(lambda tx: tx.run(ADD, id="a", balance=0)) == 1


async def test_partial_indexes_serve_statements_with_constants(database: Engine) -> None:
    """Bound as a parameter, the constant would prove nothing to the planner."""
    rich = select(account.c.id).where(account.c.open.is_(True), account.c.balance > 5)
    explain = statement(text(f"EXPLAIN QUERY PLAN {statement(rich).sqlite.text}"))
    async with database.open() as store:
        (plan,) = await store.read(lambda tx: tx.all(explain))
    assert "account_rich" in plan[3]
