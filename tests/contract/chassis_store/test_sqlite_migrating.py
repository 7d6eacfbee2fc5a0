"""Migrations of a SQLite file: looking leaves no trace, and references hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from services.chassis.store.errors import SchemaError, StoreOwnedError
from services.chassis.store.migrating import SchemaState
from services.chassis.store.sqlite.files import database_path
from services.chassis.store.statement import statement
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.releases import ONE, Release, tables


@pytest.fixture
def engine(sqlite_url: str) -> Engine:
    return Engine(sqlite_url)


def traces(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The folder and its files: when each was changed and what is in it."""
    found = [folder, *sorted(folder.iterdir())] if folder.exists() else []
    return {
        each.name: (each.stat().st_mtime_ns, each.read_bytes() if each.is_file() else b"")
        for each in found
    }


def test_verify_creates_nothing_where_there_is_nothing(
    engine: Engine, new: Release, tmp_path: Path
) -> None:
    before = traces(tmp_path / "data")
    state = new.verify(engine.url)

    assert state == SchemaState(None, "0002", ("0001", "0002"))
    assert traces(tmp_path / "data") == before == {}
    assert not (tmp_path / "data").exists()


def test_verify_leaves_no_trace_in_a_closed_database(
    engine: Engine, old: Release, new: Release, tmp_path: Path
) -> None:
    old.migrate(engine.url)
    before = traces(tmp_path / "data")

    state = new.verify(engine.url)

    assert state == SchemaState("0001", "0002", ("0002",))
    assert traces(tmp_path / "data") == before


async def test_verify_reads_what_a_killed_process_left_and_leaves_it(
    engine: Engine, new: Release, tmp_path: Path
) -> None:
    """What it committed last is in the write-ahead log alone."""
    # given the files as they are while a store is open
    left = tmp_path / "left"
    async with engine.open(metadata=new.metadata, migrations=new.migrations) as store:
        await store.write(lambda tx: tx.run(statement(new.thing.insert()), id="a", size=1))
        shutil.copytree(database_path(engine.url).parent, left)
    before = traces(left)
    assert "store.db-wal" in before

    # when
    state = new.verify(f"sqlite:///{left / 'store.db'}")

    # then; the -shm file is an index that every process may rebuild
    after = traces(left)
    assert state.pending == ()
    assert {**after, "store.db-shm": None} == {**before, "store.db-shm": None}


async def test_verify_works_beside_a_running_server(engine: Engine, new: Release) -> None:
    async with engine.open(metadata=new.metadata, migrations=new.migrations):
        assert new.verify(engine.url).pending == ()
        with pytest.raises(StoreOwnedError):
            new.migrate(engine.url)


def test_a_migration_that_breaks_a_reference_is_refused(engine: Engine, tmp_path: Path) -> None:
    orphan = (
        'op.execute("CREATE TABLE part (id TEXT, thing TEXT REFERENCES thing (id)) STRICT"); '
        "op.execute(\"INSERT INTO part VALUES ('p', 'nothing')\")"
    )
    broken = Release(tmp_path / "broken", ONE, orphan)

    with pytest.raises(SchemaError, match="references in part"):
        broken.migrate(engine.url)

    assert tables(engine.url) == []


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(
    engine: Engine, new: Release
) -> None:
    # given
    path = database_path(engine.url)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"whatever its name says" * 200)

    # when it is looked at, and when it is to be migrated
    with pytest.raises(SchemaError, match="not a SQLite database") as looked:
        new.verify(engine.url)
    with pytest.raises(SchemaError, match="not a SQLite database"):
        new.migrate(engine.url)

    # then
    assert looked.value.metadata == {"path": str(path)}
    assert path.read_bytes() == b"whatever its name says" * 200
