"""A SQLite database that is removed, replaced or damaged while it serves takes no more writes."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from services.chassis.errors import ErrorKind, Retry
from services.chassis.store.errors import DatabaseLostError
from services.chassis.store.port import Store, Tx
from services.chassis.store.sqlite.files import database_path
from tests.contract.chassis_store.engines import (
    Engine,
    add,
    add_whole,
    balance,
    ids,
    one_batch,
)
from tests.contract.chassis_store.schema import BALANCE, IDS, PHOTO
from tests.support.waiting import until

# More than fits into the cache of a connection, so that reads go to the file.
FAT_ROWS = 40
FAT_BYTES = 100_000


@pytest.fixture
def engine(sqlite_url: str) -> Engine:
    return Engine(sqlite_url)


@pytest.fixture
def file(engine: Engine) -> Path:
    return database_path(engine.url)


def remove(file: Path) -> None:
    file.unlink()


def move_away(file: Path) -> None:
    file.rename(file.with_name("moved.db"))


def replace(file: Path) -> None:
    copy = file.with_name("copy.db")
    copy.write_bytes(b"")
    copy.replace(file)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def remove_folder(file: Path) -> None:
    shutil.rmtree(file.parent)


def remove_log(file: Path) -> None:
    file.with_name("store.db-wal").unlink()


def replace_log(file: Path) -> None:
    remove_log(file)
    file.with_name("store.db-wal").touch()


LOSSES: dict[Callable[[Path], None], str] = {
    remove: "FILE_REMOVED",
    move_away: "FILE_REMOVED",
    replace: "FILE_REPLACED",
    empty: "FILE_EMPTIED",
    remove_folder: "FILE_REMOVED",
    remove_log: "LOG_REMOVED",
    replace_log: "LOG_REPLACED",
}


@pytest.mark.parametrize("lose", LOSSES)
async def test_no_write_is_acknowledged_into_a_file_that_is_gone(
    store: Store, file: Path, lose: Callable[[Path], None]
) -> None:
    # given
    await store.write(add("before"))
    assert store.unavailable_cause == ""

    # when
    lose(file)
    outcomes = await one_batch(store, add("a"), add("b"))

    # then everybody is told, for good
    for told in (*outcomes, await outcome(store, add("c"))):
        assert isinstance(told, DatabaseLostError)
        assert told.metadata == {"cause": LOSSES[lose]}
        assert (told.kind, told.retry) == (ErrorKind.DATA_LOSS, Retry.NOT_RETRYABLE)
        assert told.retry_after_s is None
    assert store.unavailable_cause == LOSSES[lose]


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_loss_is_noticed_although_nobody_writes(
    store: Store, file: Path, lose: Callable[[Path], None]
) -> None:
    lose(file)
    await until(lambda: store.unavailable_cause == LOSSES[lose])


async def test_what_an_open_store_has_can_still_be_read(store: Store, file: Path) -> None:
    """Operators want to save what there is."""
    await store.write(add("before"))
    remove(file)
    await outcome(store, add("a"))

    assert "before" in await ids(store)
    assert "before" in {row.id for row in await store.fetch(IDS)}


async def outcome(store: Store, closure: Callable[[Tx], object]) -> object:
    try:
        return await store.write(closure)
    except DatabaseLostError as error:
        return error


def damage(file: Path) -> None:
    """Leave the first quarter and the last."""
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(size // 4)
        opened.write(b"\xa5" * (size // 2))


@pytest_asyncio.fixture
async def damaged(engine: Engine, file: Path) -> AsyncIterator[Store]:
    """A store whose file has its first pages and a hole of nonsense behind them."""
    async with engine.open() as store:
        await store.write(add("first"))
        for number in range(FAT_ROWS):
            photo = os.urandom(FAT_BYTES)
            await store.write(add_whole(f"fat-{number:02}", photo=photo))
    damage(file)
    async with engine.open() as store:
        yield store


def look_at_everything(tx: Tx) -> int:
    return sum(len(row.photo or b"") for row in tx.all(PHOTO))


async def test_damage_that_a_read_finds_ends_all_writes(damaged: Store) -> None:
    # given a store that serves what is sound
    assert await balance(damaged, "first") == 0
    await damaged.write(add("early"))

    # when
    with pytest.raises(DatabaseLostError, match="restore it and start the server again") as found:
        await damaged.read(look_at_everything)

    # then
    assert found.value.metadata["cause"].startswith("SQLITE_CORRUPT")
    assert damaged.unavailable_cause == found.value.metadata["cause"]
    with pytest.raises(DatabaseLostError):
        await damaged.write(add("late"))
    assert await balance(damaged, "first") == 0


async def test_damage_that_a_list_finds_ends_all_writes(damaged: Store) -> None:
    with pytest.raises(DatabaseLostError):
        await damaged.fetch(PHOTO)
    with pytest.raises(DatabaseLostError):
        await damaged.write(add("late"))


async def test_damage_that_a_write_finds_undoes_its_whole_batch(damaged: Store) -> None:
    """Whoever decided on what was read from a damaged file may have decided wrongly."""
    # when
    outcomes = await one_batch(damaged, add("a"), look_at_everything, add("b"))

    # then
    assert {type(each) for each in outcomes} == {DatabaseLostError}
    for id_ in ("a", "b"):
        rows = await damaged.read(lambda tx, id_=id_: tx.all(BALANCE, id=id_))  # type: ignore[misc]
        assert rows == []
