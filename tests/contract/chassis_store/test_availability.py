"""A store says when its database takes no writes, and when it takes them again."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from services.chassis.errors import StoreUnavailableError
from services.chassis.store.errors import ConstraintError, DatabaseLostError
from services.chassis.store.port import Store, Tx
from services.chassis.store.sqlite.files import database_path
from services.chassis.store.statement import statement
from tests.contract.chassis_store import schema
from tests.contract.chassis_store.engines import Engine, add, add_whole, ids
from tests.support.mounts import mounted
from tests.support.waiting import until

FAT = b"x" * 100_000


async def refused(store: Store, closure: Callable[[Tx], object]) -> str:
    """The cause of the error that a write ends with."""
    with pytest.raises(StoreUnavailableError) as error:
        await store.write(closure)
    return error.value.metadata["cause"]


async def test_a_store_that_works_has_no_cause(store: Store) -> None:
    assert store.unavailable_cause == ""
    await store.write(add("a"))
    assert store.unavailable_cause == ""


def refuses(_tx: Tx) -> None:
    raise StoreUnavailableError("of the closure's own making")


async def test_what_is_wrong_with_a_closure_says_nothing_of_the_database(store: Store) -> None:
    await store.write(add("a"))
    for closure, error in ((add("a"), ConstraintError), (refuses, StoreUnavailableError)):
        with pytest.raises(error):
            await store.write(closure)
    assert store.unavailable_cause == ""


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """No process may make a file longer: what a quota does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_file_that_may_not_grow_makes_sqlite_unavailable_until_it_may(
    sqlite_url: str,
) -> None:
    async with Engine(sqlite_url).open() as store:
        await store.write(add("before"))
        log = database_path(sqlite_url).with_name("store.db-wal")

        # when
        with files_of_at_most(log.stat().st_size):
            cause = await refused(store, add("a"))
            assert cause.startswith("SQLITE_")
            assert store.unavailable_cause == cause
            assert await ids(store) == ["before"]

        # then nobody has to write for it to be noticed
        await until(lambda: store.unavailable_cause == "")
        assert await store.write(add("after")) == "after"


async def test_a_full_disk_makes_sqlite_unavailable_until_there_is_room(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", size_kib=2048) as disk:
        async with Engine(f"sqlite:///{disk / 'store.db'}").open() as store:
            await store.write(add("before"))

            # when it fills up, it is noticed although nobody writes
            with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
                while filler.write(bytes(4096)):
                    pass
            await until(lambda: store.unavailable_cause == "SQLITE_FULL")
            assert await refused(store, add_whole("fat", photo=FAT)) == "SQLITE_FULL"

            # then it serves again when there is room
            (disk / "filler").unlink()
            await until(lambda: store.unavailable_cause == "")
            await store.write(add_whole("fat", photo=FAT))
            assert await ids(store) == ["before", "fat"]


async def test_a_program_that_keeps_sqlite_locked_makes_it_unavailable_until_it_ends(
    sqlite_url: str,
) -> None:
    async with Engine(sqlite_url).open() as store:
        await store.write(lambda tx: tx.all(statement(text("PRAGMA busy_timeout = 10"))))
        shell = sqlite3.connect(database_path(sqlite_url), isolation_level=None)
        try:
            shell.execute("BEGIN IMMEDIATE")
            assert await refused(store, add("a")) == "SQLITE_BUSY"
            assert store.unavailable_cause == "SQLITE_BUSY"
        finally:
            shell.close()
        await until(lambda: store.unavailable_cause == "")


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("53100", "DISK_FULL"),
        ("58030", "IO_ERROR"),
        ("25006", "READ_ONLY_SQL_TRANSACTION"),
    ],
)
async def test_a_server_that_refuses_writes_is_unavailable_until_it_takes_one(
    postgres_url: str, state: str, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Engine(postgres_url).open() as store:
        # when
        assert await refused(store, lambda tx: tx.run(schema.raising(state))) == cause

        # then it is told, and tried without a trace
        assert cause in [vars(record).get("cause") for record in caplog.records]
        await until(lambda: store.unavailable_cause == "")
        assert await store.write(add("after")) == "after"


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03", "57014", "53200", "23505"])
async def test_what_another_write_need_not_meet_says_nothing_of_the_server(
    postgres_url: str, state: str
) -> None:
    async with Engine(postgres_url).open() as store:
        with pytest.raises((StoreUnavailableError, ConstraintError)):
            await store.write(lambda tx: tx.run(schema.raising(state)))
        assert store.unavailable_cause == ""


@pytest.mark.parametrize(
    ("state", "cause"),
    [("XX001", "DATA_CORRUPTED"), ("XX002", "INDEX_CORRUPTED"), ("58P01", "UNDEFINED_FILE")],
)
@pytest.mark.parametrize("use", [Store.write, Store.read, Store.fetch])
async def test_damage_of_a_server_ends_all_writes(
    postgres_url: str, state: str, cause: str, use: Callable[..., Awaitable[object]]
) -> None:
    async with Engine(postgres_url).open() as store:
        await store.write(add("before"))
        damaged = schema.raising(state)
        work = damaged if use is Store.fetch else lambda tx: tx.all(damaged)

        # when
        with pytest.raises(DatabaseLostError) as lost:
            await getattr(store, use.__name__)(work)

        # then
        assert lost.value.metadata == {"cause": cause}
        with pytest.raises(DatabaseLostError):
            await store.write(add("after"))
        assert store.unavailable_cause == cause
        assert await ids(store) == ["before"]
