"""Migrate and verify the schema of a SQLite file."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, MetaData, create_engine
from sqlalchemy.pool import StaticPool

from services.chassis.store.errors import SchemaError
from services.chassis.store.migrating import (
    VERSION_TABLE,
    SchemaState,
    Versions,
    listed,
    log_migrated,
    refuse_missing,
)
from services.chassis.store.sqlite.files import database_path, file_uri, open_writer
from services.chassis.store.sqlite.ownership import owned, refuse_special
from services.chassis.store.sqlite.refusing import refusing_unusable

# Tables of that name without this column are of other programs.
_IS_VERSIONED = "SELECT 1 FROM pragma_table_info(?) WHERE name = 'version_num'"


def migrate_sqlite(url: str, metadata: MetaData, migrations: Path) -> SchemaState:
    """Raises: StoreOwnedError: A server process owns the file."""
    path = database_path(url)
    with owned(path) as file:
        return migrate_owned(file.path, metadata, migrations)


def verify_sqlite(url: str, metadata: MetaData, migrations: Path) -> SchemaState:
    """Check the schema without creating a file, a table or a lock."""
    path = Path(os.path.realpath(database_path(url)))
    versions = Versions(migrations)
    with refusing_unusable(path):
        refuse_special(path)
        if not path.exists():
            return versions.state(None)
        _refuse_foreign(path)
        with closing(_looking(path)) as raw, _alchemy(raw) as connection:
            return _verified(connection, versions, metadata)


def _verified(connection: Connection, versions: Versions, metadata: MetaData) -> SchemaState:
    state = versions.state_of(connection)
    if not state.pending:
        _check_shape(connection, metadata)
    return state


def migrate_owned(path: Path, metadata: MetaData, migrations: Path) -> SchemaState:
    """``migrate_sqlite`` for a caller that owns the file at ``path``.

    Raises:
        DatabaseRefusedError: The file cannot be read or written.
        SchemaError: It is damaged, of another program, newer than this code, or lacks parts of
            ``metadata`` afterwards.
    """
    versions = Versions(migrations)
    with refusing_unusable(path):
        _refuse_foreign(path)
        state = _migrated(path, versions, metadata)
    log_migrated(state)
    return state


def _migrated(path: Path, versions: Versions, metadata: MetaData) -> SchemaState:
    """Migrate in one transaction; return the state before."""
    with closing(open_writer(path)) as raw:
        # Rebuilding a table drops the old one, so references are checked at the end.
        raw.execute("PRAGMA foreign_keys=0")
        with _alchemy(raw) as connection:
            state = versions.state_of(connection)
            if state.pending:
                raw.execute("BEGIN IMMEDIATE")
                versions.upgrade(connection)
                _check_references(raw)
            _check_shape(connection, metadata)
            if raw.in_transaction:
                raw.execute("COMMIT")
    return state


def _refuse_foreign(path: Path) -> None:
    """Look before anything is changed: to open it for writing already turns the log on.

    Raises: SchemaError: Another program made the file.
    """
    if path.stat().st_size == 0:
        return
    with closing(_looking(path)) as raw:
        names = {name for (name,) in raw.execute("SELECT name FROM sqlite_master")}
        versioned = raw.execute(_IS_VERSIONED, (VERSION_TABLE,)).fetchone()
        application = raw.execute("PRAGMA application_id").fetchone()
    if versioned is None and (names or application != (0,)):
        raise SchemaError(
            f"{path} is the database of another program: name another file in database_url",
            path=str(path),
        )


def _looking(path: Path) -> sqlite3.Connection:
    # Without a -wal file no process is writing, and an immutable open creates no -wal file.
    has_wal = path.with_name(path.name + "-wal").exists()
    return sqlite3.connect(
        file_uri(path, "mode=ro" if has_wal else "mode=ro&immutable=1"), uri=True
    )


def _alchemy(raw: sqlite3.Connection) -> Connection:
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    return engine.connect()


def _check_references(raw: sqlite3.Connection) -> None:
    broken = raw.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        tables = listed({row[0] for row in broken})
        raise SchemaError(f"migration breaks references in {tables}", tables=tables)


def _check_shape(connection: Connection, metadata: MetaData) -> None:
    names = set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
    columns: set[tuple[str, str]] = set()
    for table in names & metadata.tables.keys():
        rows = connection.exec_driver_sql("SELECT name FROM pragma_table_info(?)", (table,))
        columns |= {(table, column) for column in rows.scalars()}
    refuse_missing(metadata, names, columns)
