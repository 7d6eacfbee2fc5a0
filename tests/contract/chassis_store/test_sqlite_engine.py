"""What only SQLite can do wrong: files, owners, limits, and losing a whole transaction."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
from contextlib import closing

import pytest
from sqlalchemy import select, text

from services.chassis.errors import Retry, StoreUnavailableError
from services.chassis.store.errors import SchemaError, StoreOwnedError
from services.chassis.store.opening import Tuning
from services.chassis.store.port import Store, Tx
from services.chassis.store.sqlite.files import database_path
from services.chassis.store.sqlite.store import SqliteTuning
from services.chassis.store.sqlite.writer import BatchLimits
from services.chassis.store.statement import statement
from tests.contract.chassis_store.children import child, line
from tests.contract.chassis_store.engines import (
    Engine,
    add,
    add_whole,
    batch_of_gate,
    ids,
    one_batch,
)
from tests.contract.chassis_store.schema import ADD_CARD, account

_ROLLBACK = statement(text("ROLLBACK"))


@pytest.fixture
def engine(sqlite_url: str) -> Engine:
    return Engine(sqlite_url)


async def test_files_and_folders_are_for_the_owner_alone(engine: Engine) -> None:
    path = database_path(engine.url)
    async with engine.open() as store:
        await store.write(add("a"))
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes == dict.fromkeys(
        ("store.db", "store.db-shm", "store.db-wal", "store.db.lock"), 0o600
    )


async def test_closing_leaves_no_write_ahead_log_behind(engine: Engine) -> None:
    """The writing connection closes last, and takes the WAL into the database."""
    async with engine.open() as store:
        await store.write(add("a"))
    names = {each.name for each in database_path(engine.url).parent.iterdir()}
    assert names == {"store.db", "store.db.lock"}


async def test_commits_are_durable_and_references_checked(engine: Engine) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint")

    def settings(tx: Tx) -> list[object]:
        return [tx.all(statement(text(f"PRAGMA {name}")))[0][0] for name in names]

    async with engine.open() as store:
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


async def test_a_second_owner_in_the_same_process_is_refused(engine: Engine) -> None:
    async with engine.open() as store:
        with pytest.raises(StoreOwnedError) as refused:
            await engine.open().__aenter__()
        await store.write(add("a"))

    path = str(database_path(engine.url))
    assert refused.value.metadata == {"path": path, "owner_pid": str(os.getpid())}
    assert path in refused.value.message
    assert "stop that process" in refused.value.message
    assert refused.value.retry is Retry.HOST_CONFIGURATION_NEEDED


async def test_another_process_keeps_the_store_until_it_is_killed(engine: Engine) -> None:
    """The lock is the operating system's: no stale file can outlive its owner."""
    with child("writing_process", engine.url, "0") as owner:
        assert line(owner) == "ready"

        # when
        with pytest.raises(StoreOwnedError) as refused:
            await engine.open().__aenter__()
        owner.send_signal(signal.SIGKILL)
        owner.wait()

        # then
        assert refused.value.metadata["owner_pid"] == str(owner.pid)
        async with engine.open() as store:
            assert await ids(store) == []


async def test_a_full_disk_fails_the_whole_batch_and_nothing_acknowledged_is_lost(
    store: Store,
) -> None:
    """SQLite rolls the transaction back by itself; closures before it in the batch go with it."""

    def limit(tx: Tx) -> None:
        pages = int(tx.all(statement(text("PRAGMA page_count")))[0][0])
        tx.all(statement(text(f"PRAGMA max_page_count = {pages + 8}")))

    fat = add_whole("fat", photo=b"x" * 200_000)
    # given
    await store.write(add("before"))
    await store.write(limit)

    # when a small write, one that fills the disk and another small one share a commit
    outcomes = await batch_of_gate(store, add("small"), fat, add("last"))

    # then whoever was told that it is written finds it, and nobody else does
    kept = await ids(store)
    assert isinstance(outcomes[2], StoreUnavailableError)
    failed = [each for each in outcomes if isinstance(each, StoreUnavailableError)]
    assert {each.metadata["cause"] for each in failed} == {"SQLITE_FULL"}
    assert ("small" in kept) == (outcomes[1] == "small")
    assert ("last" in kept) == (outcomes[3] == "last")
    assert "before" in kept
    assert "fat" not in kept

    # and the store goes on
    assert await store.write(add("after")) == "after"


async def test_a_lost_transaction_fails_whoever_was_in_it_and_no_one_else(store: Store) -> None:
    """What follows in it would run on its own, and be kept whatever happens to it."""
    # when one of the closures of a commit ends its transaction
    outcomes = await batch_of_gate(store, add("a"), lambda tx: tx.run(_ROLLBACK), add("z"))

    # then those before it are told, and the one after it got a transaction of its own
    assert [type(each) for each in outcomes[:2]] == [StoreUnavailableError] * 2
    assert isinstance(outcomes[2], sqlite3.OperationalError)
    assert outcomes[3] == "z"
    assert await ids(store) == ["z"]


async def test_a_failed_commit_fails_all_of_its_batch_and_nothing_else(store: Store) -> None:
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


async def test_who_failed_alone_keeps_its_own_error_when_the_commit_fails(store: Store) -> None:
    def refuses(_tx: Tx) -> None:
        raise LookupError("mine")

    refused, lost = await one_batch(
        store, refuses, lambda tx: tx.run(ADD_CARD, id="c", account_id="nobody")
    )

    assert isinstance(refused, LookupError)
    assert isinstance(lost, StoreUnavailableError)


async def test_a_batch_ends_at_its_limit(engine: Engine) -> None:
    """The first of a batch waits for the last: a flood must not make it wait for ever."""
    tuning = Tuning(sqlite=SqliteTuning(batch=BatchLimits(closures=2, work_s=60)))
    async with engine.open(tuning=tuning) as store:
        await asyncio.gather(*(store.write(add(str(number))) for number in range(7)))
        assert len(await ids(store)) == 7


async def test_a_writer_on_the_outside_makes_writes_unavailable_not_lost(engine: Engine) -> None:
    """An operator's shell can hold the write lock; whoever waits too long is told so."""
    async with engine.open() as store:
        await store.write(lambda tx: tx.all(statement(text("PRAGMA busy_timeout = 10"))))
        path = database_path(engine.url)
        with closing(sqlite3.connect(path, isolation_level=None)) as shell:
            shell.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError) as busy:
                await store.write(add("a"))
        assert busy.value.metadata == {"cause": "SQLITE_BUSY"}
        assert busy.value.retry_after_s == 1.0
        assert await ids(store) == []
        assert await store.write(add("a")) == "a"


async def test_partial_indexes_serve_statements_with_constants(engine: Engine) -> None:
    """Bound as a parameter, the constant would prove nothing to the planner."""
    rich = select(account.c.id).where(account.c.open.is_(True), account.c.balance > 5)
    explain = statement(text(f"EXPLAIN QUERY PLAN {statement(rich).sqlite.text}"))
    async with engine.open() as store:
        (plan,) = await store.read(lambda tx: tx.all(explain))
    assert "account_rich" in plan[3]
