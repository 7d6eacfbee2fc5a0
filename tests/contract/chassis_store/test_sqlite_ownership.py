"""One process owns a SQLite file, whatever it calls it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.chassis.store.errors import DatabaseRefusedError, StoreOwnedError
from services.chassis.store.sqlite.files import database_path
from tests.contract.chassis_store.children import child, line
from tests.contract.chassis_store.engines import Engine, add, ids

Naming = Callable[[Path, Path], Path]
Use = Callable[[Engine], Awaitable[None]]


@pytest.fixture
def engine(sqlite_url: str) -> Engine:
    return Engine(sqlite_url)


@dataclass(frozen=True)
class Owner:
    """Another process that has the store at ``file`` open."""

    pid: int
    file: Path


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    file = tmp_path_factory.mktemp("owned") / "data" / "store.db"
    with child("writing_process", f"sqlite:///{file}", "0") as process:
        assert line(process) == "ready"
        yield Owner(process.pid, file)


def itself(file: Path, _folder: Path) -> Path:
    return file


def roundabout(file: Path, _folder: Path) -> Path:
    return file.parent / ".." / file.parent.name / file.name


def relative(file: Path, _folder: Path) -> Path:
    return Path(os.path.relpath(file))


def symbolic_link(file: Path, folder: Path) -> Path:
    (folder / "linked.db").symlink_to(file)
    return folder / "linked.db"


def chain_of_links(file: Path, folder: Path) -> Path:
    (folder / "first.db").symlink_to(symbolic_link(file, folder))
    return folder / "first.db"


def linked_folder(file: Path, folder: Path) -> Path:
    (folder / "elsewhere").symlink_to(file.parent)
    return folder / "elsewhere" / file.name


def hard_link(file: Path, folder: Path) -> Path:
    (folder / "hard.db").hardlink_to(file)
    return folder / "hard.db"


async def opened(engine: Engine) -> None:
    async with engine.open():
        pass


async def migrated(engine: Engine) -> None:
    engine.migrate()


BY_THE_SAME_FILE = (itself, roundabout, relative, symbolic_link, chain_of_links, linked_folder)


@pytest.mark.parametrize("naming", BY_THE_SAME_FILE)
@pytest.mark.parametrize("use", [opened, migrated])
async def test_no_other_path_leads_a_second_process_into_the_file(
    owner: Owner, tmp_path: Path, naming: Naming, use: Use
) -> None:
    second = Engine(f"sqlite:///{naming(owner.file, tmp_path)}")

    # when
    with pytest.raises(StoreOwnedError, match=f"in use by process {owner.pid}") as refused:
        await use(second)

    # then
    assert refused.value.metadata == {"path": str(owner.file), "owner_pid": str(owner.pid)}


@pytest.mark.parametrize("use", [opened, migrated])
async def test_no_hard_link_does(owner: Owner, tmp_path: Path, use: Use) -> None:
    """It has a lock file of its own, so that nothing says who the owner is."""
    second = hard_link(owner.file, tmp_path)
    try:
        with pytest.raises(StoreOwnedError, match="in use by another process"):
            await use(Engine(f"sqlite:///{second}"))
    finally:
        second.unlink()


async def test_a_lock_file_that_somebody_tidied_up_is_not_needed(owner: Owner) -> None:
    lock = owner.file.with_name("store.db.lock")
    aside = lock.rename(lock.with_name("aside"))
    try:
        with pytest.raises(StoreOwnedError, match="in use by another process"):
            await opened(Engine(f"sqlite:///{owner.file}"))
    finally:
        aside.rename(lock)


@pytest.mark.parametrize("naming", BY_THE_SAME_FILE)
async def test_every_name_serves_when_nobody_has_the_file(
    engine: Engine, tmp_path: Path, naming: Naming
) -> None:
    # given
    async with engine.open() as store:
        await store.write(add("a"))

    # when
    async with Engine(f"sqlite:///{naming(database_path(engine.url), tmp_path)}").open() as store:
        await store.write(add("b"))

    # then
    async with engine.open() as store:
        assert await ids(store) == ["a", "b"]


async def test_a_file_of_two_names_is_refused(engine: Engine, tmp_path: Path) -> None:
    """After a kill, its other name would not find the log with the last writes."""
    async with engine.open() as store:
        await store.write(add("a"))
    other = hard_link(database_path(engine.url), tmp_path)

    # when
    with pytest.raises(DatabaseRefusedError, match=r"has 2 names \(hard links\)"):
        await engine.open().__aenter__()

    # then it is served again once it has one
    other.unlink()
    async with engine.open() as store:
        assert await ids(store) == ["a"]


async def test_a_refused_second_store_leaves_the_locks_of_the_first(engine: Engine) -> None:
    """To close any descriptor of a file drops every ``fcntl`` lock of the process on it."""
    async with engine.open() as store:
        await store.write(add("a"))
        with pytest.raises(StoreOwnedError):
            await engine.open().__aenter__()
        with pytest.raises(StoreOwnedError):
            engine.migrate()

        # then no other process can take the log away under the first
        with child("closing_process", str(database_path(engine.url))) as process:
            assert line(process) == "closed"
        assert database_path(engine.url).with_name("store.db-wal").exists()
        await store.write(add("b"))
    async with engine.open() as store:
        assert await ids(store) == ["a", "b"]


async def test_a_shell_may_read_beside_the_owner(engine: Engine) -> None:
    """The lock is for our processes: backups read while a server runs."""
    async with engine.open() as store:
        await store.write(add("a"))
        with child("closing_process", str(database_path(engine.url))) as process:
            assert line(process) == "closed"
        assert await store.write(add("b")) == "b"
    with closing(sqlite3.connect(database_path(engine.url))) as shell:
        assert shell.execute("SELECT count(*) FROM account").fetchone() == (2,)
