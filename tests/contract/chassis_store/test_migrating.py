"""Schema versions: forward in one transaction, or looked at without a trace."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Column, Index, Integer, MetaData, Table, Text, select

from services.chassis.store.errors import SchemaError, StoreOwnedError
from services.chassis.store.opening import SchemaState, migrate, verify
from services.chassis.store.sqlite_files import database_path
from services.chassis.store.statement import statement
from tests.contract.chassis_store.engines import Engine, sqlite_engine

_VERSION = """
from alembic import op

revision = {revision!r}
down_revision = {previous!r}


def upgrade():
    {body}
"""
_ONE = 'op.execute("CREATE TABLE thing (id TEXT PRIMARY KEY) STRICT")'
_TWO = (
    'op.execute("ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL DEFAULT 7"); '
    'op.execute("CREATE INDEX thing_size ON thing (size)")'
)
_BROKEN = 'op.execute("ALTER TABLE thing ADD COLUMN size INTEGER"); op.execute("NONSENSE")'


class Release:
    """A release of a service: its version files and what its code expects of the schema."""

    def __init__(self, folder: Path, *bodies: str, columns: tuple[str, ...] = ()) -> None:
        self.migrations = folder
        (folder / "versions").mkdir(parents=True)
        for number, body in enumerate(bodies, start=1):
            previous = f"{number - 1:04}" if number > 1 else None
            content = _VERSION.format(revision=f"{number:04}", previous=previous, body=body)
            (folder / "versions" / f"{number:04}_step.py").write_text(content)
        self.metadata = MetaData()
        extra = [Column(name, Integer) for name in columns]
        self.thing = Table("thing", self.metadata, Column("id", Text, primary_key=True), *extra)

    def verify(self, url: str) -> SchemaState:
        return verify(url, metadata=self.metadata, migrations=self.migrations)

    def migrate(self, url: str) -> SchemaState:
        return migrate(url, metadata=self.metadata, migrations=self.migrations)


@pytest.fixture
def database(tmp_path: Path) -> Engine:
    return sqlite_engine(tmp_path)


@pytest.fixture
def old(tmp_path: Path) -> Release:
    return Release(tmp_path / "old", _ONE)


@pytest.fixture
def new(tmp_path: Path) -> Release:
    return Release(tmp_path / "new", _ONE, _TWO, columns=("size",))


def run(url: str, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(database_path(url))
    try:
        rows = connection.execute(sql).fetchall()
        connection.commit()
        return rows
    finally:
        connection.close()


def traces(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The folder and its files: when each was changed and what is in it."""
    found = [folder, *sorted(folder.iterdir())] if folder.exists() else []
    return {
        each.name: (each.stat().st_mtime_ns, each.read_bytes() if each.is_file() else b"")
        for each in found
    }


async def test_opening_takes_an_older_database_forward_with_its_rows(
    database: Engine, old: Release, new: Release
) -> None:
    # given
    old.migrate(database.url)
    run(database.url, "INSERT INTO thing VALUES ('a')")

    # when
    async with database.open(metadata=new.metadata, migrations=new.migrations) as store:
        rows = await store.fetch(statement(select(new.thing)))

    # then
    assert [tuple(row) for row in rows] == [("a", 7)]
    assert new.verify(database.url) == SchemaState("0002", "0002", ())


async def test_a_database_that_is_newer_than_the_code_is_refused(
    database: Engine, old: Release, new: Release
) -> None:
    """Code that does not know a column would lose what is in it."""
    new.migrate(database.url)

    with pytest.raises(SchemaError, match="0002, newer than 0001") as refused:
        await database.open(metadata=old.metadata, migrations=old.migrations).__aenter__()
    with pytest.raises(SchemaError, match="newer"):
        old.verify(database.url)

    assert refused.value.metadata == {"found": "0002", "newest_known": "0001"}


def test_a_migration_that_fails_leaves_the_version_before_it(
    database: Engine, old: Release, tmp_path: Path
) -> None:
    # given
    old.migrate(database.url)
    run(database.url, "INSERT INTO thing VALUES ('a')")
    broken = Release(tmp_path / "broken", _ONE, _BROKEN)

    # when
    with pytest.raises(Exception, match="NONSENSE"):
        broken.migrate(database.url)

    # then neither the column nor the version is there
    assert run(database.url, "SELECT * FROM thing") == [("a",)]
    assert old.verify(database.url) == SchemaState("0001", "0001", ())


def test_several_versions_are_one_transaction(database: Engine, tmp_path: Path) -> None:
    broken = Release(tmp_path / "broken", _ONE, _BROKEN)

    with pytest.raises(Exception, match="NONSENSE"):
        broken.migrate(database.url)

    assert run(database.url, "SELECT count(*) FROM sqlite_master") == [(0,)]


def test_verify_creates_nothing_where_there_is_nothing(
    database: Engine, new: Release, tmp_path: Path
) -> None:
    before = traces(tmp_path / "data")
    state = new.verify(database.url)

    assert state == SchemaState(None, "0002", ("0001", "0002"))
    assert traces(tmp_path / "data") == before == {}
    assert not (tmp_path / "data").exists()


def test_verify_leaves_no_trace_in_a_closed_database(
    database: Engine, old: Release, new: Release, tmp_path: Path
) -> None:
    old.migrate(database.url)
    before = traces(tmp_path / "data")

    state = new.verify(database.url)

    assert state == SchemaState("0001", "0002", ("0002",))
    assert traces(tmp_path / "data") == before


async def test_verify_reads_what_a_killed_process_left_and_leaves_it(
    database: Engine, new: Release, tmp_path: Path
) -> None:
    """What it committed last is in the write-ahead log alone."""
    # given the files as they are while a store is open
    left = tmp_path / "left"
    async with database.open(metadata=new.metadata, migrations=new.migrations) as store:
        await store.write(lambda tx: tx.run(statement(new.thing.insert()), id="a", size=1))
        shutil.copytree(database_path(database.url).parent, left)
    before = traces(left)
    assert "store.db-wal" in before

    # when
    state = new.verify(f"sqlite:///{left / 'store.db'}")

    # then; the -shm file is an index that every process may rebuild
    after = traces(left)
    assert state.pending == ()
    assert {**after, "store.db-shm": None} == {**before, "store.db-shm": None}


async def test_verify_works_beside_a_running_server(database: Engine, new: Release) -> None:
    async with database.open(metadata=new.metadata, migrations=new.migrations):
        assert new.verify(database.url).pending == ()
        with pytest.raises(StoreOwnedError):
            new.migrate(database.url)


def test_migrations_that_forget_a_column_are_found_at_once(
    database: Engine, tmp_path: Path
) -> None:
    """Else the first statement that needs it fails, in production."""
    forgetful = Release(tmp_path / "forgetful", _ONE, columns=("size",))
    Table("other", forgetful.metadata, Column("id", Text))
    Index("thing_id", forgetful.thing.c.id)

    with pytest.raises(SchemaError) as refused:
        forgetful.migrate(database.url)

    assert refused.value.metadata == {"missing": "index thing_id, other, thing.size"}
    assert run(database.url, "SELECT count(*) FROM sqlite_master") == [(0,)]


def test_a_migration_that_breaks_a_reference_is_refused(database: Engine, tmp_path: Path) -> None:
    orphan = (
        'op.execute("CREATE TABLE part (id TEXT, thing TEXT REFERENCES thing (id)) STRICT"); '
        "op.execute(\"INSERT INTO part VALUES ('p', 'nothing')\")"
    )
    broken = Release(tmp_path / "broken", _ONE, orphan)

    with pytest.raises(SchemaError, match="references in part"):
        broken.migrate(database.url)

    assert run(database.url, "SELECT count(*) FROM sqlite_master") == [(0,)]


def test_a_service_without_versions_does_not_start(database: Engine, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="no migration"):
        Release(tmp_path / "empty").migrate(database.url)
